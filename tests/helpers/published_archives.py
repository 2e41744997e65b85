"""Archives as the model zoo publishes them, made from small untrained networks."""

import functools
import io
import os
import pathlib
import tarfile
import tempfile

import numpy as np

import deeplab
from deeplab.checkpoints import bundle
from deeplab.config.published import files
from deeplab.model import backbones
from deeplab.model.names import reference_name
from helpers import short_networks

PRESET = "mobilenetv2_dm05_coco_voc_trainaug"
ARCHIVE = files.FILES[PRESET].archive


def variables(config, more=()):
    """Returns {reference name: array} of a new network, and of the further (name, shape) in `more`."""
    model = deeplab.build_model(config, (65, 65, 3))
    short_networks.randomize(model)
    values = {reference_name(variable): variable.numpy() for variable in model.variables}
    values = {name: value for name, value in values.items() if not name.endswith(("/updates", "/draws"))}
    return values | {name: np.ones(shape, np.float32) for name, shape in more}


def archive(values, prefix="model.ckpt-30000"):
    """Returns the bytes of a .tar.gz with one checkpoint."""
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=content, mode="w:gz") as tar:
        bundle.write(os.path.join(folder, prefix), values)
        tar.add(folder, "published")
    return content.getvalue()


def of_preset():
    """Returns the archive of `PRESET`, whose network is short where a test uses the fixture `short_mobilenet`."""
    return _of_preset(backbones.BACKBONES["mobilenet_v2"].build)  # which the fixture replaces


@functools.cache
def _of_preset(_network):
    return archive(variables(deeplab.MODELS[PRESET].config))


def put(folder):
    """Puts the archive of `PRESET` into a cache, as a person does; returns its path."""
    place = pathlib.Path(folder) / ARCHIVE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(of_preset())
    return place
