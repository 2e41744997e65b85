"""Ids in PNG files: those of the label files where they are known, with their colours; else class ids."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog
from deeplab.pictures import drawing, mask_ids

LABELS = np.array([[0, 1], [2, 1]])
PLAIN = catalog.Dataset("own", 3, class_names=("sky", "road", "tree"), colors=((9, 9, 9), (1, 2, 3), (4, 5, 6)))
SOURCE_COLORS = ((10, 0, 0), (20, 0, 0), (30, 0, 0))
CASES = {  # fields of the data set: (pixels, mode of the PNG, colour of the pixel in the first row and second column)
    "no ids": ({}, [[0, 1], [2, 1]], "P", (1, 2, 3)),
    "ids": ({"source_ids": (0, 7, 200)}, [[0, 7], [200, 7]], "P", (1, 2, 3)),
    "colours": ({"source_colors": SOURCE_COLORS}, [[0, 1], [2, 1]], "P", (20, 0, 0)),
    "both": ({"source_ids": (3, 0, 1), "source_colors": SOURCE_COLORS}, [[3, 0], [1, 0]], "P", (20, 0, 0)),
    "large": ({"source_ids": (0, 7, 65535)}, [[0, 7], [65535, 7]], "I;16", None),
    "small among large": ({"source_ids": (1000, 7, 8)}, [[1000, 7], [8, 7]], "I;16", None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_png_holds_the_ids_and_colours_of_the_label_files(case):
    fields, expected, mode, color = CASES[case]
    dataset = dataclasses.replace(PLAIN, **fields)
    ids = mask_ids.of_dataset(dataset, catalog.label_colormap(dataset))
    with Image.open(io.BytesIO(drawing.png_of(ids.of(LABELS), ids.palette))) as image:
        assert np.asarray(image).tolist() == expected
        assert image.mode == mode
        if color:
            assert image.convert("RGB").getpixel((1, 0)) == color
    plain = mask_ids.without(dataset)
    ids = mask_ids.of_dataset(plain, catalog.label_colormap(plain))
    assert ids.of(LABELS).tolist() == LABELS.tolist()


def test_an_image_of_small_ids_has_16_bits_too_where_other_images_do():
    """One data set gives files of one kind, whatever an image shows."""
    ids = mask_ids.of_dataset(dataclasses.replace(PLAIN, source_ids=(0, 7, 300)), catalog.label_colormap(PLAIN))
    assert (ids.of(np.zeros((2, 2), int)).dtype, ids.palette) == (np.uint16, None)


def test_what_is_written_is_said_in_one_line():
    assert mask_ids.sentence(PLAIN) == ""
    assert mask_ids.sentence(dataclasses.replace(PLAIN, source_ids=(0, 1, 2))) == ""
    said = mask_ids.sentence(dataclasses.replace(PLAIN, source_ids=(0, 7, 9)))
    assert "such as 7 for 'road', which is class 1; --class_ids writes class ids" in said
