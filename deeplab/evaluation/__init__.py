"""Scores of a network on a split, and how they are shown."""
