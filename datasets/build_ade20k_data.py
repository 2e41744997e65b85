"""Builds TFRecord shards of ADE20K. Has the flags of `deeplab build ade20k`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import ade20k

if __name__ == "__main__":
    ade20k.main()
