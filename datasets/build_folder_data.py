"""Builds TFRecord shards from a folder of images and a folder of labels. Has the flags of `deeplab build folder`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import folder

if __name__ == "__main__":
    folder.main()
