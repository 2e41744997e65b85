"""Reads the goldens of the reference's input pipeline (copied from its pipeline/ folder)."""

import json

import numpy as np

from helpers.places import GOLDEN_PIPELINE

FOLDER = GOLDEN_PIPELINE


def load(name):
    """Returns (parsed JSON, {array name: array}) of a golden."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return json.loads((FOLDER / f"{name}.json").read_text()), dict(arrays)
