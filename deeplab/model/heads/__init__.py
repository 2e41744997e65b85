"""Heads: ASPP or dense prediction cell, and the decoder. They turn the features of a backbone into logits."""
