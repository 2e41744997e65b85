"""Masks that need more than a look at their values: colours that are not exact, other sizes, instances, odd names."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab.data.building import label_rules
from deeplab.data.building.label_rules import LabelRules, StoredImage
from deeplab.data.building.masks import colors, instances, pairing, reading
from deeplab.errors import UserError
from helpers import fake_data

BLACK, GREEN, OLIVE = (0, 0, 0), (0, 128, 0), (128, 128, 0)
RULES = LabelRules(3, format="rgb", colors=(BLACK, GREEN, OLIVE), color_tolerance=70, most_unmatched=0.01)
IDS = np.array([[0, 0, 7, 7, 7], [0, 300, 300, 7, 7], [0, 300, 300, 7, 7]], np.uint16)


def stored(height, width, orientation=1):
    return StoredImage(b"", "png", (height, width), orientation)


def interpolated(size=(48, 64), scale=3):
    """Returns a mask of three stripes, (H, W) classes, and its picture of blended colours."""
    small = np.arange(3).repeat(size[1] // scale // 3 + 1)[: size[1] // scale]
    small = np.tile(small, (size[0] // scale, 1)).astype(np.uint8)
    picture = Image.fromarray(np.array([BLACK, GREEN, OLIVE], np.uint8)[small])
    return small, picture.resize(size[::-1], Image.Resampling.BILINEAR)


def test_blends_count_as_the_nearest_colour():
    small, picture = interpolated()
    labels, changes = colors.nearest(picture, RULES)
    exact = np.asarray(Image.fromarray(small).resize((64, 48), Image.Resampling.NEAREST))
    assert np.mean(labels == exact) > 0.95
    assert changes == {"changed": int(np.sum(~_exact(picture))), "void": 0}
    assert 0.02 < changes["changed"] / labels.size < 0.3


def _exact(picture):
    pixels = np.asarray(picture)
    return np.any([np.all(pixels == color, -1) for color in (BLACK, GREEN, OLIVE)], 0)


def test_what_is_far_from_every_colour_is_void_up_to_a_share_and_then_refused():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[0, 0] = (250, 0, 250)
    labels, changes = colors.nearest(Image.fromarray(pixels), RULES)
    assert (labels[0, 0], labels[0, 1], changes) == (255, 0, {"changed": 0, "void": 1})
    pixels[0, :4] = (250, 0, 250)
    with pytest.raises(
        UserError, match=r"^2\.0% of its pixels are farther than --color_tolerance=70 .*#fa00fa \(4 pix"
    ):
        colors.nearest(Image.fromarray(pixels), RULES)
    assert colors.nearest(Image.fromarray(pixels), RULES._replace(most_unmatched=0.02))[1]["void"] == 4
    without = RULES._replace(color_tolerance=0.0)
    with pytest.raises(UserError, match=r"98\.0% of the pixels match.*--color_tolerance=N"):
        label_rules.read_label(_png(pixels), without)


def _png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_void_colours_are_near_too():
    pixels = np.full((4, 4, 3), 250, np.uint8)
    labels, changes = colors.nearest(Image.fromarray(pixels), RULES._replace(ignore_colors=((255, 255, 255),)))
    assert (labels == 255).all()
    assert changes == {"changed": 16, "void": 0}


@pytest.mark.parametrize(
    ("pixels", "chosen", "tolerance"),
    [
        ({BLACK: 500, GREEN: 400, OLIVE: 1}, [BLACK, GREEN, OLIVE], 0),  # few colours are all classes
        ({BLACK: 5000, GREEN: 4000} | {(0, i, 0): 2 for i in range(1, 128)}, [BLACK, GREEN], 70),
        ({BLACK: 5000, GREEN: 4000} | {(0, i, 0): 2 for i in (20, 40, 60, 80)}, [BLACK, GREEN], 60),
        ({(i, 255 - i, i): 9 for i in range(200)}, [], 0),
    ],
)
def test_principal_colours_are_those_of_classes(pixels, chosen, tolerance):
    assert colors.principal(pixels) == (chosen, tolerance)


@pytest.mark.parametrize(
    ("size", "image"),
    [((24, 32), (48, 64)), ((96, 128), (48, 64)), ((333, 500), (667, 1000)), ((23, 31), (46, 61))],
)
def test_masks_of_another_size_are_fitted_if_the_proportions_agree(size, image):
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 2 :] = 1
    fitted = reading.resized(labels, image)
    assert fitted.shape == image
    assert fitted[0, 0] == 0
    assert fitted[-1, -1] == 1
    assert abs(fitted.mean() - labels.mean()) < 0.02


@pytest.mark.parametrize("size", [(64, 48), (48, 48), (24, 34)])
def test_other_proportions_are_told_with_both_sizes(size, tmp_path):
    path = fake_data.save(np.zeros(size, np.uint8), tmp_path / "a.png")
    told = rf"image is 64x48, label {size[1]}x{size[0]} \(width x height\)"
    for resize, way_out in ((True, "proportions differ"), (False, "--resize_masks|one of them was turned")):
        with pytest.raises(UserError, match=rf"{told}.*({way_out})"):
            reading.read(path, stored(48, 64), LabelRules(2, resize=resize))


def test_thresholds_make_black_and_white_of_grey():
    grey = np.array([[0, 100, 127, 128, 200, 255]], np.uint8)
    rules = LabelRules(2, format="binary", binary_threshold=128)
    np.testing.assert_array_equal(label_rules.read_label(_png(grey), rules), [[0, 0, 0, 1, 1, 1]])
    deep = label_rules.read_label(_png(grey.astype(np.uint16) * 100), rules._replace(binary_threshold=12800))
    np.testing.assert_array_equal(deep, [[0, 0, 0, 1, 1, 1]])
    with pytest.raises(UserError, match="--binary_threshold=128 takes"):
        label_rules.read_label(_png(grey), LabelRules(2, format="binary"))


def test_ids_of_a_list_are_read_and_others_are_named():
    lookup = [-1] * 301
    lookup[0], lookup[7], lookup[300] = 2, 0, 1
    rules = LabelRules(3, lookup=tuple(lookup))
    np.testing.assert_array_equal(label_rules.read_label(_png(IDS), rules)[1], [2, 1, 1, 0, 0])
    with pytest.raises(UserError, match=r"outside the classes of the ids 0, 300 \(.*7 \(7 pixels\)"):
        label_rules.read_label(
            _png(IDS), rules._replace(lookup=tuple(-1 if i == 7 else v for i, v in enumerate(lookup)))
        )


def instance_file(folder, kind):
    """Writes the objects of IDS in one of the forms that people have; returns its path."""
    small = np.where(IDS == 300, 1, np.where(IDS == 7, 2, 0)).astype(np.uint8)
    if kind == "folder":
        for i in (1, 2):
            fake_data.save(np.where(small == i, 255, 0).astype(np.uint8), folder / "objects" / f"{i}.png")
        return str(folder / "objects")
    if kind == "palette":
        return fake_data.save(small, folder / "a.png", list(range(256)) * 3)
    if kind == "colours":
        return fake_data.save(np.array([(0, 0, 0), (9, 200, 3), (80, 0, 9)], np.uint8)[small], folder / "a.png")
    arrays = {"tiff": IDS, "float": IDS.astype(np.float32), "32 bits": IDS.astype(np.int32), "8 bits": small}
    return fake_data.save(arrays[kind], folder / "a.tif")


@pytest.mark.parametrize("kind", ["tiff", "float", "32 bits", "8 bits", "palette", "colours", "folder"])
def test_instances_of_every_form_become_one_class_with_a_border(kind, tmp_path):
    path = instance_file(tmp_path, kind)
    rules = LabelRules(2, format="instances")
    labels, _turned, changes = reading.read(path, stored(*IDS.shape), rules)
    np.testing.assert_array_equal(labels, IDS > 0)
    assert changes == {}
    bordered = reading.read(path, stored(*IDS.shape), rules._replace(num_classes=3, border_pixels=1))[0]
    np.testing.assert_array_equal(bordered, [[0, 0, 2, 1, 1], [0, 2, 2, 2, 1], [0, 2, 2, 2, 1]])


def test_the_border_is_as_wide_as_asked_for_and_lies_inside():
    ids = np.zeros((11, 11), np.int64)
    ids[1:10, 1:10] = 5
    for pixels in (1, 2, 4):
        labels = instances.to_labels(ids, pixels)
        assert np.sum(labels == 1) == (9 - 2 * pixels) ** 2
        np.testing.assert_array_equal(labels > 0, ids > 0)
    assert (instances.to_labels(np.full((4, 4), 3), 2) == 1).all()  # the edge of the image is no border


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.array([[0.5]], np.float32), {"path": "a.tif"}, "no whole numbers"),
        (np.array([[-1]], np.int32), {"path": "a.tif"}, "number -1 of an object"),
        (np.zeros((4, 4), np.uint8), {"path": "a.jpg"}, "JPEG, which changes the numbers"),
    ],
)
def test_what_numbers_no_objects_is_refused(array, options, message, tmp_path):
    path = fake_data.save(array, tmp_path / options["path"])
    with pytest.raises(UserError, match=message):
        instances.read(path, LabelRules(2, format="instances"))


def test_values_that_do_not_count_stay_void_among_objects(tmp_path):
    path = fake_data.save(np.array([[0, 1, 255]], np.uint8), tmp_path / "a.png", list(range(256)) * 3)
    rules = LabelRules(2, format="instances", lookup=instances.lookup(255, ()))
    np.testing.assert_array_equal(instances.read(path, rules), [[0, 1, 1]])
    rules = rules._replace(lookup=instances.lookup(255, (255,)))
    np.testing.assert_array_equal(instances.read(path, rules), [[0, 1, 255]])


def test_folders_of_objects_are_recognised(tmp_path):
    for name in ("a", "b"):
        fake_data.save(fake_data.image(8, 8), tmp_path / name / "images" / f"{name}x.png")
        fake_data.save(np.zeros((8, 8), np.uint8), tmp_path / name / "masks" / "1.png")
    images, labels = instances.object_folders(str(tmp_path))
    assert images == {name: str(tmp_path / name / "images" / f"{name}x.png") for name in ("a", "b")}
    assert labels == {name: str(tmp_path / name / "masks") for name in ("a", "b")}
    (tmp_path / "other").mkdir()
    assert instances.object_folders(str(tmp_path)) == ({}, {})


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (("img2d.tif",), ("mask2d.tif",), ["img2d"]),
        (("a/image_01.png", "a/image_02.png"), ("a/label_01.png", "a/label_02.png"), ["a/image_01", "a/image_02"]),
        (("x.jpg", "y.jpg"), ("x_mask.png", "y_mask.png"), ["x", "y"]),
        (("12_rgb.png",), ("12_gt.png",), ["12_rgb"]),
        (("1.jpg",), ("2_mask.png",), []),
    ],
)
def test_names_that_differ_by_a_word_belong_together(images, labels, names, tmp_path):
    for name in (*images, *labels):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = pairing.by_words(str(tmp_path), str(tmp_path))
    assert [sorted(found[0].keys() & found[1].keys())] == [names]
