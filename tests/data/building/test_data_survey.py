"""Labels of a format that nobody told: what they are is seen, and wrong promises about them are refused."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog
from deeplab.data.building import builder, label_rules, listing, survey
from deeplab.data.building.label_rules import LabelRules
from deeplab.data.building.masks import advice
from deeplab.errors import UserError
from helpers import fake_data

IDS = np.array([[0, 1, 2, 2], [0, 1, 255, 255], [0, 0, 0, 0]], np.uint8)
BLACK_WHITE = np.where(IDS > 0, 255, 0).astype(np.uint8)
STRAY = np.append(BLACK_WHITE, np.array([[0, 0, 0, 128]], np.uint8), 0)
NUMBERED = np.arange(40, dtype=np.uint16).reshape(4, 10)
SHADES = np.array([[0, 50, 200]], np.uint8)
COLORS = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 255), *[(9, 9, 9)] * 253], np.uint8)
PALETTE = COLORS.ravel().tolist()


def label(array, mode=None, palette=None, kind="PNG"):
    """Returns an encoded label file."""
    picture = Image.fromarray(array)
    picture = picture.convert(mode) if mode else picture
    if palette is not None:
        picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def write(folder, *labels):
    """Writes label files; returns their paths."""
    folder.mkdir(exist_ok=True)
    for i, content in enumerate(labels):
        (folder / f"{i}.png").write_bytes(content)
    return sorted(map(str, folder.iterdir()))


@pytest.mark.parametrize(
    ("content", "kind", "expected", "flags"),
    [
        (label(IDS), "one channel", "index", "--class_names=class_0,class_1,class_2 (255 does not count; "),
        (label(IDS, palette=PALETTE), "palette", "palette", "--class_names=class_0,class_1,class_2 (255 does not"),
        (
            label(COLORS[IDS]),
            "colour",
            "rgb",
            "class_0=#000000,class_1=#0080ff,class_2=#090909,class_3=#ff0000 (colours",
        ),
        (label(COLORS[IDS], "RGBA"), "colour", "rgb", "class_0=#000000,class_1=#0080ff"),
        (label(BLACK_WHITE), "one channel", "binary", "--class_names=background,object (white"),
        (label(BLACK_WHITE > 0), "one channel", "index", "--class_names=class_0,class_1 "),
        (label(IDS, "LA"), "one channel", "index", "class_0,class_1,class_2 (255"),
        (label(IDS, "RGB"), "one channel", "index", "class_0,class_1,class_2 (255"),
        (label(IDS.astype(np.uint16)), "one channel", "index", "class_0,class_1,class_2 (255"),
        (label(np.full((2, 2), 149, np.uint8)), "one channel", "index", "--num_classes=150 "),
        (label(BLACK_WHITE, kind="JPEG"), "jpeg", "binary", "--class_names=background,object (white"),
        (label(SHADES, kind="JPEG"), "jpeg", "index", "JPEG changes values at every edge"),
        (label(STRAY), "one channel", "binary", "--class_names=background,object (white"),
        (label(SHADES), "one channel", "index", "--class_names=class_0=0,class_50=50,class_200=200 (values"),
        (label(IDS[:, :2] + 1), "one channel", "index", "--class_names=class_1,class_2 --reduce_zero_label (0 does"),
        (label(NUMBERED), "one channel", "index", "--instances_as=object (values of 16 bits number objects"),
        (label(NUMBERED * 9), "wide", "index", "--instances_as=object (values of 16 bits number objects"),
        (label(fake_data.image()), "colour", "rgb", "colours are no classes"),
        (label(fake_data.image(), kind="JPEG"), "colour jpeg", "rgb", "colours are no classes"),
        (b"a text", "", "index", "none could be read"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_formats_are_recognized(content, kind, expected, flags, tmp_path):
    seen = survey.inspect(write(tmp_path, *[content] * 3))
    assert (seen.kind, survey.label_format(seen, 2)) == (kind, expected)
    best = advice.advise(seen)
    assert flags in f"{' '.join(best.flags)} ({best.note})"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (label(np.dstack([IDS, IDS])), "mode LA, and not opaque"),
        (b"", "the file is empty"),
        (b"text", "no image"),
    ],
)
def test_why_labels_cannot_be_read_is_told(content, reason, tmp_path):
    seen = survey.inspect(write(tmp_path, content, label(IDS)))
    assert (seen.kind, seen.kinds["unreadable"]) == ("one channel", 1)
    assert seen.reason.startswith(f"{tmp_path}/0.png: {reason}")


def test_shades_become_classes(tmp_path):
    colors = tuple((value,) * 3 for value in (0, 50, 200))
    for dtype in (np.uint8, np.uint16):
        found = label_rules.read_label(label(SHADES.astype(dtype)), LabelRules(3, format="rgb", colors=colors))
        np.testing.assert_array_equal(found, [[0, 1, 2]])
    with pytest.raises(UserError, match="label values 0 to 51200"):
        label_rules.read_label(label(SHADES.astype(np.uint16) * 256), LabelRules(3, format="rgb", colors=colors))


def test_what_most_labels_are_counts_and_all_are_told(tmp_path):
    others = (label(COLORS[IDS]), b"a text", label(IDS), label(IDS * 0))
    seen = survey.inspect(write(tmp_path, *[label(IDS, palette=PALETTE)] * 5, *others))
    assert survey.label_format(seen, 3) == "palette"
    assert seen.pixels == {0: 30, 1: 10, 2: 10, 255: 10}
    assert survey.kinds_text(seen) == (
        "5 palette images, 2 images of one channel, 1 colour images, 1 unreadable; 4 values (9 looked at)"
    )
    assert seen.reason == f"{tmp_path}/6.png: no image that can be read; expected JPEG or PNG"


def test_of_many_labels_some_are_looked_at(tmp_path):
    seen = survey.inspect(write(tmp_path, label(IDS)) * 1000)
    assert 30 < seen.kinds.total() <= survey.MOST


def test_palettes_that_differ_mean_colours(tmp_path):
    turned = np.array([2, 0, 1, *[3] * 252, 255], np.uint8)  # as a program does that writes the colours it meets
    palettes = [PALETTE, COLORS[np.argsort(turned, kind="stable")].ravel().tolist()]
    paths = write(tmp_path, label(IDS, palette=palettes[0]), label(turned[IDS], palette=palettes[1]))
    seen = survey.inspect(paths)
    assert survey.label_format(seen, 3) == "rgb"
    assert "class_0=#000000,class_1=#0080ff" in advice.advise(seen).flags[0]


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_equal_channels_are_one(mode):
    np.testing.assert_array_equal(label_rules.read_label(label(IDS, mode), LabelRules(3)), IDS)


def test_black_and_white_labels():
    rules = LabelRules(2, format="binary")
    expected = (IDS > 0).astype(np.uint8)
    for content in (label(BLACK_WHITE), label(BLACK_WHITE > 0), label(BLACK_WHITE, "RGB")):
        np.testing.assert_array_equal(label_rules.read_label(content, rules), expected)
    large = np.zeros((64, 64), np.uint8)
    large[13:50, 9:40] = 255
    np.testing.assert_array_equal(label_rules.read_label(label(large, kind="JPEG"), rules), large // 255)


@pytest.mark.parametrize(
    ("content", "rules", "message"),
    [
        (label(IDS), LabelRules(2, format="binary"), r"values 0 \(6 pixels\), 1 .* --label_format=index where"),
        (label(fake_data.image(), kind="JPEG"), LabelRules(2, format="binary"), "of its pixels are grey"),
        (label(IDS, kind="JPEG"), LabelRules(3), "JPEG, which changes values at every edge: save labels as PNG"),
        (label(IDS, palette=PALETTE), LabelRules(3), "use --label_format=palette"),
        (label(COLORS[IDS]), LabelRules(3, format="palette"), "use --label_format=rgb"),
        (label(IDS), LabelRules(1, format="rgb", colors=((0, 0, 0),)), "rather --label_format=index"),
        (label(IDS.astype(np.uint16) * 257), LabelRules(3), "expected ids of 0 to 255, saved with 8 bits"),
        (label(np.dstack([IDS, IDS])), LabelRules(3), "mode LA, and not opaque"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_promises_are_refused(content, rules, message):
    with pytest.raises(UserError, match=message):
        label_rules.read_label(content, rules)


def test_black_and_white_as_ids_would_teach_nothing(tmp_path):
    pairs = fake_data.folders(tmp_path, 2, num_classes=1)
    config = fake_data.BuildTo(str(tmp_path / "shards"))
    with pytest.raises(UserError, match=r"only the values 0 and 255, which is the ignore label.*--label_format=binary"):
        builder.build({"train": pairs}, catalog.Dataset("fake", 3), LabelRules(3), config)
    assert not os.listdir(tmp_path / "shards")


def test_classes_that_do_not_occur_are_told(tmp_path, capsys):
    pairs = fake_data.folders(tmp_path, 2, num_classes=3)
    dataset = catalog.Dataset("fake", 4, class_names=("a", "b", "c", "d"))
    builder.build({"train": pairs}, dataset, LabelRules(4), fake_data.BuildTo(str(tmp_path / "shards")))
    assert "train: 1 of 4 classes do not occur: d\n" in capsys.readouterr().out


def test_many_alike_problems_are_counted(tmp_path):
    pairs = fake_data.folders(tmp_path, 14)
    pairs[3] = pairs[3]._replace(image=None)
    config = fake_data.BuildTo(str(tmp_path / "shards"))
    with pytest.raises(UserError) as caught:
        builder.build({"train": pairs}, catalog.Dataset("fake", 1), LabelRules(1), config)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("14 problems")
    assert len(lines) == 1 + 10 + 1 + 1
    assert "  and 3 more like these" in lines
    assert "img_3.png: its image is missing" in lines[-1]


def test_images_of_unusual_kinds_are_stored_as_predict_reads_them(tmp_path):
    deep = np.full((2, 3), 51 * 257, np.uint16)
    stored, kind, size, *_ = label_rules.stored_image(label(deep))
    assert (kind, size) == ("png", (2, 3))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), np.full((2, 3, 3), 51))
    clear = np.zeros((2, 3, 4), np.uint8)
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(label_rules.stored_image(label(clear))[0]))), np.full((2, 3, 3), 255)
    )
    file = io.BytesIO()
    Image.fromarray(np.ones((2, 3), np.float32)).save(file, "TIFF")
    with pytest.raises(UserError, match="32 bit"):
        label_rules.stored_image(file.getvalue())


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return str(folder)


@pytest.mark.parametrize(
    ("images", "labels", "hint"),
    [
        (("1.jpg", "2.jpg"), ("1_mask.png", "2_mask.png"), "Try --label_suffix=_mask"),
        (("a/1_rgb.jpg", "b/2_rgb.jpg"), ("a/1.png", "b/2.png"), "Try --image_suffix=_rgb"),
        (("1_sat.jpg", "2_sat.jpg"), ("1-mask.png", "2-mask.png"), "Try --image_suffix=_sat --label_suffix=-mask"),
        (("1.jpg", "2.jpg"), ("17.png", "18.png"), "Give both the same names"),
    ],
)
def test_names_that_fit_but_for_an_ending(images, labels, hint, tmp_path):
    folders = touch(tmp_path / "images", *images), touch(tmp_path / "labels", *labels)
    with pytest.raises(UserError, match=f"no label has the name of an image.*{hint}"):
        listing.images_and_labels(*folders)
    if hint.startswith("Try"):
        given = dict(flag.removeprefix("--").split("=") for flag in hint.split()[1:])
        assert len(listing.all_pairs(*listing.images_and_labels(*folders, **given))) == 2


def test_images_and_labels_in_one_folder(tmp_path):
    folder = touch(tmp_path / "a", "1.jpg", "1.png", "2.jpg", "2.png")
    images, labels = listing.images_and_labels(folder, folder)
    assert (images["2"], labels["2"]) == (f"{folder}/2.jpg", f"{folder}/2.png")
    folder = touch(tmp_path / "b", "1.png", "1_mask.png", "2.png", "2_mask.png")
    for more in ((), ("3.jpg",)):
        touch(tmp_path / "b", *more)
        with pytest.raises(UserError, match="Try --label_suffix=_mask"):
            listing.images_and_labels(folder, folder)
    images, labels = listing.images_and_labels(folder, folder, label_suffix="_mask")
    assert (sorted(images), sorted(labels)) == (["1", "2", "3"], ["1", "2"])


def test_hidden_files_are_left_out_and_names_are_unique(tmp_path):
    folder = touch(tmp_path, "1.JPG", "._1.jpg", ".cache/2.jpg", "Straße 3.tiff", "Thumbs.db")
    assert sorted(listing.files_by_name(folder, "image_dir")) == ["1", "Straße 3"]
    touch(tmp_path, "1.png")
    with pytest.raises(UserError, match=r"1\.JPG and .*1\.png have one name: remove one"):
        listing.files_by_name(folder, "image_dir")
