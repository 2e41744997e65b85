"""The rasteriser of annotations beside COCO's and labelme's programs, what overlaps, and masks stored as runs."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from deeplab.data.annotations import drawing, rle
from deeplab.data.annotations.drawing import Shape
from deeplab.errors import UserError
from helpers.places import SHARED

SIZE = (40, 56)
COCO_MASKS = [  # polygon x y x y, and what pycocotools 2.0.11 makes of it: mask.frPyObjects([polygon], 40, 56)
    (
        "28.32 23.77 30.88 25.96 28.55 30.29 22.92 31.13 10.09 25.32 7.27 21.95 6.8 11.37 21.09 10.63 26.36 6.93",
        "S9;m01O2N1O00001O001O001O001O0O101N1O100008G9H1Mio0",
    ),
    (
        "43.28 20.14 26.31 26.14 23.66 33.82 23.89 29.65 21.02 21.27 16.02 12.9 22.3 3.79 34.6 14.66 41.37 17.75",
        "\\d02U12M4M3L3N4L4N2N1NN3L4O1N2O1O1N2O1O0O2O001N101N101O1Nf?",
    ),
    (
        "36.95 34.81 29.07 35.79 27.49 23.14 25.12 6.45 29.6 10.21 31.95 8.42 33.6 12.25 40.13 6.99 38.57 11.67",
        "_o02V17J7I7I3K10O103MO100O1OI7C=Mmc0",
    ),
]
BRUSH = [0, 0, 0, 192, 57, 27, 254, 39, 0, 183, 255, 132, 192, 45, 255, 225, 48, 11, 127, 249, 44, 0]
"""What label-studio-sdk makes of a mask (6, 8) in which rows 1 to 3 and columns 2 to 4 are set: brush.mask2rle."""


def square(top, left, side, label=1, kind="polygons", **more):
    ring = np.array([(left, top), (left + side, top), (left + side, top + side), (left, top + side)], float)
    return Shape(label, kind, (ring,), **more)


def whole(shape, size=SIZE):
    (top, left), mask = drawing.patch(shape, size)
    result = np.zeros(size, bool)
    result[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return result


@pytest.mark.parametrize(("points", "text"), COCO_MASKS)
def test_polygons_are_those_of_pycocotools(points, text):
    expected = rle.mask(text, SIZE, by_columns=True)
    drawn = whole(Shape(1, "polygons", (np.reshape([float(value) for value in points.split()], (-1, 2)),)))
    assert (drawn == expected).mean() >= 0.995
    assert abs(int(drawn.sum()) - int(expected.sum())) <= 6


def test_a_polygon_at_the_corners_of_pixels_covers_just_these():
    expected = np.zeros(SIZE, bool)
    expected[3:8, 10:15] = True
    np.testing.assert_array_equal(whole(square(3, 10, 5)), expected)


def test_what_lies_outside_is_cut_off_and_thin_shapes_do_no_harm():
    assert whole(square(-5, -5, 100)).all()
    assert whole(square(-5, -5, 7)).sum() == 4
    assert not whole(square(100, 100, 7)).any()
    assert not whole(square(5, 5, 0)).any()
    assert not whole(Shape(1, "polygons", (np.array([(1.0, 1.0), (2.0, 2.0)]),))).any()


def test_rings_have_holes_and_polygons_none():
    outer, inner = square(0, 0, 20).data[0], square(5, 5, 5).data[0]
    assert whole(Shape(1, "rings", (outer, inner))).sum() == 400 - 25
    assert whole(Shape(1, "polygons", (outer, inner))).sum() == 400


def test_a_seam_that_leads_to_a_hole_is_not_seen():
    seam = [(0, 0), (20, 0), (20, 20), (0, 20), (0, 0), (5, 5), (5, 10), (10, 10), (10, 5), (5, 5)]
    assert whole(Shape(1, "rings", (np.array(seam, float),))).sum() == 400 - 25


@pytest.mark.parametrize(("on_top", "seen"), [("file", 1), ("smaller", 2)])
def test_order_of_the_file_or_smaller_on_top(on_top, seen):
    drawn = drawing.draw([square(8, 8, 4, label=2), square(4, 4, 20, label=1)], SIZE, {}, on_top)
    assert drawn.labels[9, 9] == seen
    assert drawn.labels[5, 5] == 1
    assert drawn.labels[0, 0] == 0
    assert drawn.overlapping == 16
    assert drawn.hidden == (1 if on_top == "file" else 0)


def test_overlap_of_one_class_is_none_and_what_lies_beneath_comes_first():
    assert drawing.draw([square(0, 0, 4), square(2, 2, 4)], SIZE, {}).overlapping == 0
    crowd = square(0, 0, 9, label=-1, beneath=True)
    labels = drawing.draw([square(2, 2, 4), crowd], SIZE, {-1: 255}).labels
    assert (labels[3, 3], labels[8, 8], labels[20, 20]) == (1, 255, 0)


def test_turned_rectangles_and_ellipses():
    turned = whole(Shape(1, "rings", (drawing.rectangle((10, 10), (30, 14), 90),)))
    np.testing.assert_array_equal(turned, whole(Shape(1, "rings", (drawing.rectangle((18, 2), (22, 22)),))))
    around_corner = whole(Shape(1, "rings", (drawing.rectangle((20, 10), (30, 14), 90, (20, 10)),)))
    np.testing.assert_array_equal(around_corner, whole(Shape(1, "rings", (drawing.rectangle((16, 10), (20, 20)),))))
    circle = whole(Shape(1, "rings", (drawing.ellipse((20, 20), (10, 10)),)))
    assert circle.sum() == pytest.approx(np.pi * 100, rel=0.02)


def test_labelme_shapes_are_drawn_with_their_outline():
    def drawn(kind, *points):
        return whole(Shape(1, f"labelme {kind}", np.array(points, float)))

    assert drawn("polygon", (3, 3), (7, 3), (7, 7), (3, 7)).sum() == 25
    assert drawn("rectangle", (7, 7), (3, 3)).sum() == 25  # corners in any order
    assert drawn("circle", (20, 20), (20, 30))[20, 10:31].all()
    assert drawn("point", (20, 20))[15:26, 20].all()
    assert drawn("line", (0, 20), (50, 20))[:, 30].sum() == 10
    assert drawn("linestrip", (0, 20), (30, 20), (30, 39))[39, 30]


@pytest.mark.skipif(not (SHARED / "samples").exists(), reason="no ../shared/samples beside the repository")
@pytest.mark.parametrize("name", ["2011_000003", "2011_000006", "2011_000025"])
def test_labels_are_those_of_labelme(name):
    values = json.loads((SHARED / "samples" / "labelme" / f"{name}.json").read_text())
    names = (SHARED / "samples" / "labelme" / "labels.txt").read_text().split("\n")
    shapes = [
        Shape(names.index(shape["label"]) - 1, "labelme polygon", np.array(shape["points"]))
        for shape in values["shapes"]
    ]
    drawn = drawing.draw(shapes, (values["imageHeight"], values["imageWidth"]), {-1: 255}).labels
    expected = np.asarray(Image.open(SHARED / "samples" / "labelme_expected" / f"{name}.png"))
    assert (drawn == expected).mean() >= 0.995


def test_runs_of_coco_and_cvat():
    expected = np.zeros((6, 5), bool)
    expected[1:4, 1:3] = expected[5, 4] = True
    np.testing.assert_array_equal(rle.mask("7330:N", (6, 5), True), expected)
    np.testing.assert_array_equal(rle.mask([7, 3, 3, 3, 13, 1], (6, 5), True), expected)
    np.testing.assert_array_equal(rle.mask([6, 2, 3, 2, 3, 2, 11, 1], (6, 5), False), expected)
    shape = Shape(1, "rle", ([0, 6], (2, 3), (38, 54), False))
    assert whole(shape).sum() == 4  # two rows, two of three columns


def test_brush_of_label_studio():
    mask = rle.brush_mask(bytes(BRUSH), (6, 8))
    assert mask[1:4, 2:5].all()
    assert mask.sum() == 9


def test_masks_of_labelme_are_png():
    file = io.BytesIO()
    Image.fromarray(np.full((3, 4), 255, np.uint8)).save(file, "PNG")
    assert whole(Shape(1, "mask", (file.getvalue(), (2, 5)))).sum() == 12
    with pytest.raises(UserError, match="mask in it cannot be read"):
        whole(Shape(1, "mask", (b"no", (2, 5))))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(1, "rle", ([5], SIZE, (0, 0), True)), "whose runs have 5 pixels, where 56x40 are 2240"),
        (Shape(1, "rle", ([2245, -5], SIZE, (0, 0), True)), "whose runs have"),
        (Shape(1, "rle", ([10**12], (10**6, 10**6), (0, 0), True)), "a mask of 1000000x1000000 on an image of 56x40"),
        (Shape(1, "rle", ([10**12], (10**6, 10**6), (0, 0), False)), "a mask of 1000000x1000000 on an image of 56x40"),
        (Shape(1, "rle", ("a\n", SIZE, (0, 0), True)), "with the character '.n'"),
        (Shape(1, "rle", ("o", SIZE, (0, 0), True)), "cut off"),
        (Shape(1, "brush", (bytes(BRUSH), (6, 8))), "a mask of 8x6 on an image"),
        (Shape(1, "brush", (b"\x00", SIZE)), "cut off"),
        (Shape(1, "brush", (bytes([255] * 9), SIZE)), "a brush mask of 4294967295 values"),
    ],
)
def test_damaged_masks_are_one_line(shape, message):
    with pytest.raises(UserError, match=message):
        whole(shape)


def test_a_brush_that_is_cut_off():
    with pytest.raises(UserError, match="cut off"):
        rle.brush_mask(bytes(BRUSH[:-6]), (6, 8))
