"""Pictures: right colours in the right places, one size, legends that name what is there."""

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog
from deeplab.pictures import drawing
from helpers import fake_data

COLORS = catalog.label_colormap(catalog.CATALOG["camvid"])
LABELS = np.array([[0, 0, 1], [0, 2, 2]])


def test_labels_become_colors():
    np.testing.assert_array_equal(drawing.colorize(LABELS, COLORS)[1, 1], COLORS[2])


def test_boundaries_lie_between_different_labels():
    np.testing.assert_array_equal(drawing.boundaries(LABELS), [[False, True, True], [True, False, False]])


def test_an_overlay_keeps_size_and_type():
    image = fake_data.image(20, 30)
    laid = drawing.overlay(image, np.zeros((20, 30), np.int32), COLORS)
    assert (laid.shape, laid.dtype) == (image.shape, np.uint8)
    np.testing.assert_allclose(laid, 0.4 * image + 0.6 * COLORS[0], atol=1)


def test_errors_are_red_and_ignored_pixels_white():
    picture = drawing.error_map(np.array([[0, 1, 255]]), np.array([[0, 0, 0]]), 255)
    assert (picture[0, 2] == 255).all()
    assert picture[0, 1, 0] > picture[0, 1, 1:].max() + 100
    assert np.ptp(picture[0, 0].astype(int)) < 20


def test_the_legend_names_what_occurs():
    names = ["sky", "tree", "car"]
    entries = drawing.legend([LABELS % 2, np.array([[255]])], names, COLORS, ignore_label=255)
    assert [name for name, _color in entries] == ["sky", "tree", "not labelled"]


@pytest.mark.parametrize(("size", "factor"), [((50, 70), 1), ((3000, 2000), drawing.LARGEST_SIDE / 3000)])
def test_a_panel_shows_every_tile_and_no_tile_is_huge(size, factor):
    color = (10, 200, 30)
    tile = np.full((*size, 3), color, np.uint8)
    picture = drawing.panel([("a", tile), ("b", tile)], [("class", (1, 2, 3))])
    shown = (picture == color).all(-1).sum()
    assert shown == 2 * round(size[0] * factor) * round(size[1] * factor)


def test_narrow_panels_hold_long_legends():
    entries = [(f"a class with a long name {i}", (i, i, i)) for i in range(40)]
    assert drawing.panel([("a", fake_data.image(30, 20))], entries).shape[0] > 40 * drawing.LEGEND_SIZE


@pytest.mark.parametrize(("largest", "mode"), [(20, "L"), (60000, "I;16")])
def test_ids_are_kept_in_the_png(tmp_path, largest, mode):
    path = str(tmp_path / "ids.png")
    drawing.save_png(path, np.array([[0, largest]]))
    with Image.open(path) as image:
        assert image.mode == mode
        assert np.asarray(image).tolist() == [[0, largest]]
