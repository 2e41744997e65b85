"""Frozen configurations that refuse nonsense. No TensorFlow here."""
