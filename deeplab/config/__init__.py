"""Configurations of all programs: frozen dataclasses that refuse illegal values. Nothing here imports TensorFlow."""
