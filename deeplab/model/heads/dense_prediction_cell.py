"""Dense prediction cell: a head found by search that replaces the ASPP. Source: Chen et al. 2018, arXiv 1809.04184.

A cell is a list of branches. Each branch reads the output of the backbone (-1) or of an earlier branch.
"""

import json
import os
from typing import NamedTuple

import tensorflow as tf
from tensorflow import keras

from deeplab.errors import UserError
from deeplab.layers.basic import AveragePooling, ResizeToScale
from deeplab.model.heads.aspp import dropout

FILTERS = 256


class Branch(NamedTuple):
    """One operation of a cell."""

    op: str  # "conv" or "pyramid_pooling"
    input: int  # -1: the backbone's output, else the number of an earlier branch
    kernel: int = 3  # of a convolution
    rate: tuple = (1, 1)  # vertical, horizontal; at output stride 16
    grid_size: tuple = (1, 1)  # of a pooling: windows per side


PUBLISHED = {
    "cityscapes": (  # fig. 5 of the paper
        Branch("conv", -1, 3, (1, 6)),
        Branch("conv", 0, 3, (18, 15)),
        Branch("conv", 1, 3, (6, 3)),
        Branch("conv", 0, 3, (1, 1)),
        Branch("conv", 0, 3, (6, 21)),
    ),
}


ORIGINAL_FILES = {"dense_prediction_cell_branch5_top1_cityscapes.json": "cityscapes"}  # in deeplab/core there


def read(cell):
    """Returns the branches of a published name, a JSON text, or a JSON file in the reference's form.

    The path of a cell inside the reference means the published cell, unless there is such a file.

    Raises:
      UserError: the file cannot be read, or one of its branches is malformed.
    """
    published = ORIGINAL_FILES.get(os.path.basename(cell), cell)
    if published in PUBLISHED and not (published != cell and tf.io.gfile.exists(cell)):
        return PUBLISHED[published]
    try:
        inline = cell.lstrip().startswith("[")
        text = cell if inline else tf.io.gfile.GFile(cell).read()
        branches = tuple(_branch(i, entry) for i, entry in enumerate(json.loads(text)))
    except (
        tf.errors.OpError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        known = ", ".join(PUBLISHED)
        raise UserError(
            f"dense_prediction_cell_json={cell!r}: not a published cell ({known}) nor a readable cell: {error}"
        ) from None
    if not branches:
        raise UserError(f"dense_prediction_cell_json={cell!r}: the cell has no branches")
    return branches


def _branch(index, entry):
    branch = Branch(
        op=entry["op"],
        input=int(entry["input"]),
        kernel=int(entry.get("kernel", 3)),
        rate=tuple(entry.get("rate", (1, 1))),
        grid_size=tuple(entry.get("grid_size", (1, 1))),
    )
    if branch.op not in ("conv", "pyramid_pooling"):
        raise ValueError(f"branch {index}: unknown op {branch.op!r} (conv, pyramid_pooling)")
    if not -1 <= branch.input < index:
        raise ValueError(f"branch {index}: input {branch.input} is not an earlier branch")
    return branch


def needs_crop_size(branches):
    """Tells whether the cell pools over parts of the image, whose size must then be known beforehand."""
    return any(branch.op == "pyramid_pooling" for branch in branches)


def build(blocks, features, image, config):
    """Builds the cell on the backbone's `features`; returns (B, h, w, 256)."""
    branches = read(config.dense_prediction_cell_json)
    if needs_crop_size(branches) and not (config.image_pooling_crop_size or config.crop_size):
        raise UserError("dense_prediction_cell_json: a cell with pyramid_pooling needs crop_size=(height, width)")
    outputs = []
    for i, branch in enumerate(branches):
        x = features if branch.input < 0 else outputs[branch.input]
        outputs.append(_operation(blocks, f"branch{i}", branch, x, image, config))
    x = dropout(blocks, "concat_projection", keras.layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0])
    return blocks.conv(x, "concat_projection", FILTERS)


def _operation(blocks, scope, branch, x, image, config):
    stride = config.output_stride
    if branch.op == "pyramid_pooling":
        crop = config.image_pooling_crop_size or config.crop_size
        x = AveragePooling(crop, [stride * grid for grid in branch.grid_size], (1, 1))(x)
        x = blocks.conv(x, scope, FILTERS)
        return ResizeToScale(1 / stride, config.crop_size)([x, image])
    if branch.kernel == 1:
        return blocks.conv(x, scope, FILTERS)
    rate = tuple(side * (16 // stride) for side in branch.rate)
    return blocks.split_separable(x, scope, FILTERS, rate, branch.kernel)
