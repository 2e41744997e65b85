"""Draws a data set of textured scenes, without building shards. `deeplab build shapes` builds the shards, too."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the checkout, installed or not

from deeplab.programs.builders import shapes

if __name__ == "__main__":
    shapes.draw_main()
