"""Builds TFRecord shards of CamVid. Has the flags of `deeplab build camvid`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import camvid

if __name__ == "__main__":
    camvid.main()
