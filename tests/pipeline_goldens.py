"""Reads the goldens of the reference's input pipeline (copied from its pipeline/ folder)."""

import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden" / "pipeline"


def load(name):
    """Returns (parsed JSON, {array name: array}) of a golden."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return json.loads((FOLDER / f"{name}.json").read_text()), dict(arrays)
