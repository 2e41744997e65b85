"""Reads what annotation tools write: a module per format, one for drawing, one that recognises formats.

Nothing here imports TensorFlow, since worker processes draw the labels.
"""
