"""Reads the goldens of the reference's input pipeline, losses and metrics in tests/golden/pipeline."""

import json

import numpy as np

from helpers.places import GOLDEN_PIPELINE

FOLDER = GOLDEN_PIPELINE


def load(name):
    """Returns (content of the JSON file, {name: array}) of a golden."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return json.loads((FOLDER / f"{name}.json").read_text()), dict(arrays)
