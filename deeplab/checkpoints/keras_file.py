"""Reads the `.keras` files that `model.save` writes of our networks; they hold the configuration and the weights.

Nothing in the file is executed, and no class is looked up by a name in it: the configuration has to be that of our
network, and the arrays go the way of every HDF5 file, see `hdf5`.
"""

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from deeplab.checkpoints import hdf5
from deeplab.config.model import ModelConfig
from deeplab.config.options import from_json
from deeplab.errors import UserError, one_line
from deeplab.files import limited
from deeplab.model.names import reference_name
from deeplab.model.network import DeepLab

SUFFIX = ".keras"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MAX_CONFIG = 16 << 20  # bytes; ours have a few thousand
_RATIO, _BEYOND = 2, 512 << 20  # Keras does not compress weights; unpacked they have at most 2 times + 512 MB
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RecursionError, NotImplementedError, RuntimeError)


class Description(NamedTuple):
    """What a `.keras` file says of its network, beside the weights."""

    config: ModelConfig
    record: dict[str, Any]  # what is known about the training, see `inference.trained`; {} if nothing


def is_keras_file(path: str) -> bool:
    """Tells whether the name of a file says that Keras 3 wrote it."""
    return path.endswith(SUFFIX)


def describe(path: str) -> Description:
    """Returns the `Description` of the network in a `.keras` file.

    Raises:
      UserError: there is no such file, it is damaged, or another program wrote it.
    """
    with _opened(path) as file:
        config = _network(file, path)
    record = config.get("record")
    network = from_json(ModelConfig, config["model"], path)
    return Description(network, record if isinstance(record, dict) else {})


def read(path: str) -> dict[str, np.ndarray]:
    """Returns {reference name: array} of the network in a `.keras` file, without the state of an optimizer.

    Raises:
      UserError: as `describe`.
    """
    with _opened(path) as file, tempfile.TemporaryDirectory(prefix="deeplab-") as folder:
        network = _rebuilt(_network(file, path), path)
        weights = os.path.join(folder, "weights.h5")
        _unpack(file, weights, path)
        try:
            arrays = hdf5.arrays(weights)
        except (UserError, OSError) as error:
            raise _damaged(path, one_line(error).removeprefix(f"{weights}: ")) from None
    found = {(layer, index): array for layer, index, array in arrays}
    names = {
        (layer.name, str(index)): reference_name(variable)
        for layer in network.parts.layers.values()
        for index, variable in enumerate(_in_order(layer))
    }
    return {name: found[place] for place, name in names.items() if place in found}


def _in_order(layer):
    """Returns the variables of a layer in the order in which Keras numbers them in a file."""
    trainable = layer.trainable
    layer.trainable = True  # else Keras calls all of them non-trainable, in another order than in the file
    variables = [*layer.trainable_variables, *layer.non_trainable_variables]
    layer.trainable = trainable
    return variables


@contextlib.contextmanager
def _opened(path):
    """Yields the open archive. Errors about damage, in the `with` too, become one line."""
    with tempfile.TemporaryDirectory(prefix="deeplab-") as folder:
        try:
            with zipfile.ZipFile(limited.local_copy(path, folder)) as file:
                yield file
        except UserError:
            raise
        except _DAMAGE as error:
            raise _damaged(path, one_line(error, 200)) from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or one_line(error, 200)})") from None


def _damaged(path, reason):
    return UserError(f"{path}: not a .keras file of Keras 3, or damaged ({reason}); save it again with model.save")


def _network(file, path):
    """Returns what `get_config` of the network returned, from the configuration in an open archive."""
    if _CONFIG not in file.namelist():
        raise _damaged(path, f"it holds no {_CONFIG}")
    if file.getinfo(_CONFIG).file_size > _MAX_CONFIG:
        raise _damaged(path, f"its {_CONFIG} is larger than {_MAX_CONFIG >> 20} MB")
    content = json.loads(file.read(_CONFIG))
    found = content if isinstance(content, dict) else {}
    config = found.get("config")
    is_ours = found.get("registered_name") == "deeplab>DeepLab" and isinstance(config, dict)
    if not is_ours or not isinstance(config.get("model"), dict):
        kind = found.get("class_name") if isinstance(found.get("class_name"), str) else "something else"
        raise UserError(
            f"{path}: holds {kind[:100]!r} of another program; expected a network of deeplab.build_model or "
            "deeplab.load that model.save wrote. keras.models.load_model reads other models"
        )
    return config


def _rebuilt(config, path) -> DeepLab:
    try:
        return DeepLab.from_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (TypeError, AttributeError) as error:  # somebody edited it
        raise _damaged(path, one_line(error, 200)) from None


def _unpack(file, target, path):
    """Writes the weights in an open archive to the file `target`."""
    if _WEIGHTS not in file.namelist():
        raise _damaged(path, f"it holds no {_WEIGHTS}")
    info = file.getinfo(_WEIGHTS)
    if info.file_size > _RATIO * info.compress_size + _BEYOND:
        raise _damaged(path, f"its weights claim {info.file_size >> 20} MB")
    try:
        with file.open(_WEIGHTS) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)
    except OSError as error:
        folder = os.path.dirname(target)
        raise UserError(f"{path}: its weights cannot be unpacked into {folder} ({error.strerror or error})") from None
