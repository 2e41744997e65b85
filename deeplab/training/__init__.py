"""Training: the step, what it updates, the loop around it, and what it leaves on disk. Entry: deeplab/train.py."""
