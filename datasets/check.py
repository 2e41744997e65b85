"""Checks every record of a folder of TFRecord shards. Has the flags of `deeplab check`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import check

if __name__ == "__main__":
    check.main()
