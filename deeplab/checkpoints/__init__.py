"""Weights in files: our checkpoints, the reference's, and the other formats in which models are published."""
