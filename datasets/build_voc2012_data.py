"""Builds TFRecord shards of PASCAL VOC 2012. Has the flags of `deeplab build voc2012`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import voc2012

if __name__ == "__main__":
    voc2012.main()
