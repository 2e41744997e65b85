"""Builds TFRecord shards of Cityscapes. Has the flags of `deeplab build cityscapes`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import cityscapes

if __name__ == "__main__":
    cityscapes.main()
