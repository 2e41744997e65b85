"""Reads the golden cases in tests/golden/cases, which hold what the original computed.

A case has a configuration, arrays, and a checkpoint whose values follow from the names of its variables. The files were
made by `python tests/golden/copy_cases.py ../shared/reference/cases tests/golden/cases`.
"""

import dataclasses
import json
import math
import zlib

import numpy as np

from deeplab import ModelConfig
from deeplab.checkpoints import bundle
from deeplab.checkpoints.sources import WeightsFile
from helpers.places import GOLDEN_CASES

FOLDER = GOLDEN_CASES
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
AMPLITUDES = {  # last part of a variable's name: (center, amplitude) of its uniformly distributed values
    "gamma": (1, 0.1),
    "beta": (0, 0.1),
    "moving_mean": (0, 0.1),
    "moving_variance": (1, 0.5),
    "biases": (0, 0.05),
    "Momentum": (0, 0.01),
}


def load(name):
    """Returns (content of the JSON file, {key: array})."""
    case = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz") as file:
        return case, {key: file[key] for key in file.files}


def config_of(case, **changes):
    """Returns the `ModelConfig` of a case."""
    options = dict(case["config"])
    options["dense_prediction_cell_json"] = options.pop("dense_prediction_cell_config")
    options["atrous_rates"] = options["atrous_rates"] or ()  # the original derives no rates
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    return ModelConfig(**{name: value for name, value in options.items() if name in fields} | changes)


def checkpoint_values(case):
    """Returns {name: array} of the checkpoint of a case. Name, shape and the scale in the case decide the values."""
    values = {}
    for variable in case["variables"]:
        name, shape = variable["name"], variable["shape"]
        if name == "global_step":
            values[name] = np.int64(case["global_step"])
        elif "values" in variable:
            values[name] = np.float32(variable["values"])
        else:
            values[name] = _value(name, shape, variable.get("scale", 1.0))
        if case["checkpoint_has_momentum_slots"] and variable["trainable"]:
            values[f"{name}/Momentum"] = _value(f"{name}/Momentum", shape)
    return values


def source_of(case):
    """Returns the checkpoint of a case as if it had been read from a file."""
    return WeightsFile(f"checkpoint of {case['name']}", "checkpoint", checkpoint_values(case))


def write_checkpoint(case, folder):
    """Writes the checkpoint of a case into a folder; returns its prefix."""
    prefix = bundle.prefix_for(str(folder), case["global_step"])
    bundle.write(prefix, checkpoint_values(case))
    return prefix


def _value(name, shape, scale=1.0):
    uniform = 2.0 * np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape) - 1.0
    leaf = name.rsplit("/", 1)[1]
    if leaf in AMPLITUDES:
        center, amplitude = AMPLITUDES[leaf]
        return np.float32(center + amplitude * uniform)
    fan_in = math.prod(shape[:2]) * (1 if leaf == "depthwise_weights" else shape[2])
    return np.float32(float(scale) * np.sqrt(3.0 / fan_in) * uniform)
