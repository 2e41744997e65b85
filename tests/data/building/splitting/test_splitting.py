"""Splits: list files of every form, groups that stay together, folds, and how alike splits are."""

import numpy as np
import pytest
from PIL import Image

from deeplab.data.building import listing
from deeplab.data.building.listing import Pair
from deeplab.data.building.splitting import groups, likeness, lists
from deeplab.errors import UserError
from helpers import fake_data

IMAGES = {name: f"images/{name}.jpg" for name in ("a 1", "b", "sub/c", "é", "d,e")}
LABELS = {**{name: f"masks/{name}.png" for name in IMAGES}, "b_mask": "masks/b_mask.png"}
PAIRS = {name: Pair(name, IMAGES[name], LABELS[name]) for name in IMAGES}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("b", PAIRS["b"]),
        ("b.jpg", PAIRS["b"]),
        ("a 1", PAIRS["a 1"]),
        ("./images/b.jpg", PAIRS["b"]._replace(name="images/b")),
        ("images\\sub\\c.jpg", PAIRS["sub/c"]._replace(name="images/sub/c")),
        ("d,e", PAIRS["d,e"]),
        ("e\u0301", PAIRS["é"]),
        ("b.jpg,b_mask.png", Pair("b", IMAGES["b"], LABELS["b_mask"])),
        ("b.jpg\tb.png", PAIRS["b"]),
        ("b.jpg b_mask.png", Pair("b", IMAGES["b"], LABELS["b_mask"])),
        ("a 1.jpg a 1.png", PAIRS["a 1"]),
        ('"b.jpg"; "b.png"', PAIRS["b"]),
        ("/SegNet/images/b.jpg /SegNet/masks/b_mask.png", Pair("SegNet/images/b", IMAGES["b"], LABELS["b_mask"])),
        ("images/b.jpg masks/b_mask.png", Pair("images/b", IMAGES["b"], LABELS["b_mask"])),
        ("images/gone.jpg masks/b.png", Pair("images/gone", None, LABELS["b"])),
        ("b.jpg gone.png", Pair("b", IMAGES["b"], None)),
        ("gone", Pair("gone", None, None)),
    ],
)
def test_a_line_names_a_pair_in_one_column_or_two(line, pair, end, encoding, tmp_path):
    text = end.join(["image,label" if "," in line else "# made by a tool", "", f"  {line}  ", "b"])
    (tmp_path / "train.txt").write_bytes(text.encode(encoding))
    assert lists.pairs(str(tmp_path / "train.txt"), IMAGES, LABELS) == [pair, PAIRS["b"]]


def test_a_list_of_comments_names_no_images(tmp_path):
    (tmp_path / "train.txt").write_text("# nothing\n\n")
    with pytest.raises(UserError, match="names no images"):
        lists.pairs(str(tmp_path / "train.txt"), IMAGES, LABELS)
    assert listing.read_list.__doc__


def numbered(*names):
    return [Pair(name, f"{name}.jpg", f"{name}.png") for name in names]


FRAMES = {"w": 3, "x": 9, "y": 4, "z": 4}
DRIVES = numbered(*(f"{drive}/{drive}_{frame:03}" for drive, count in FRAMES.items() for frame in range(count)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pattern", ["^([^/]+)/", r"/(.)_", "^[a-z]"])
def test_groups_stay_on_one_side(pattern, seed):
    splits = groups.random_split(DRIVES, 0.2, seed, pattern)
    sides = [{pair.name[0] for pair in pairs} for pairs in splits.values()]
    assert not sides[0] & sides[1]
    assert sorted(splits["train"] + splits["val"]) == sorted(DRIVES)
    assert 3 <= len(splits["val"]) <= 4
    assert splits == groups.random_split(DRIVES[::-1], 0.2, seed, pattern)


@pytest.mark.parametrize("pattern", ["", "^([^/]+)/"])
def test_folds_are_all_pairs_each_once(pattern):
    folds = [groups.fold_split(DRIVES, 4, fold, 1, pattern) for fold in (1, 2, 3, 4)]
    assert sorted(pair for fold in folds for pair in fold["val"]) == sorted(DRIVES)
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(DRIVES)
        assert len(fold["val"]) == (
            5 if not pattern else len([p for p in DRIVES if p.name[0] == fold["val"][0].name[0]])
        )
    assert folds[1] == groups.fold_split(DRIVES, 4, 2, 1, pattern) != groups.fold_split(DRIVES, 4, 2, 2, pattern)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: groups.keys(DRIVES, "(["), r"^--group_by=\(\[: no regular expression"),
        (lambda: groups.keys(DRIVES, "^w"), "matches nothing in 17 of 20 names, such as 'x/x_000'"),
        (lambda: groups.random_split(DRIVES, 0.5, 0, "_"), "nothing of 1 groups is left"),
        (lambda: groups.fold_split(DRIVES, 5, 1, 0, "^(.)"), "there are only 4 groups"),
        (
            lambda: groups.refuse_shared({"train": DRIVES[:5], "val": DRIVES[5:]}, "^(.)"),
            "'x' in both train and val; mend the lists",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_lists_that_keep_groups_apart_pass():
    groups.refuse_shared({"train": DRIVES[:12], "val": DRIVES[12:], "trainval": DRIVES}, "^(.)")


def look(array):
    return likeness.look(Image.fromarray(array))


def test_a_copy_looks_alike_and_another_picture_does_not():
    first, other = fake_data.image(200, 300, 1), fake_data.image(200, 300, 5)
    noisy = (first.astype(int) + np.random.default_rng(0).integers(-6, 7, first.shape)).clip(0, 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(noisy).resize((150, 100)))
    train = {"a": look(first), "b": look(other), "grey": look(np.full((9, 9, 3), 80, np.uint8))}
    assert train["grey"] == b""
    val = {"c": look(small), "d": look(255 - first), "flat": b""}
    assert likeness.near_duplicates(val, train) == [("c", "a")]
    assert likeness.near_duplicates(val, {}) == likeness.near_duplicates({}, train) == []
    (line,) = likeness.report({"train": train, "val": val})
    assert line.startswith("val: 1 of 3 look almost as one of train, such as c and a. Scores on val may be too high")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_has_a_look(mode):
    picture = Image.fromarray(fake_data.image(40, 60)[..., 0])
    assert len(likeness.look(picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode))) == 32


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("0016E5_07959", "0016E5"),
        ("drive_2/frame_003", "drive_2/frame"),
        ("img_12", ""),
        ("p3-slide7-0001_x", "p3-slide7"),
    ],
)
def test_a_series_is_a_name_without_its_last_number(name, series):
    assert likeness.series(name) == series


def test_series_on_both_sides_are_told():
    train, val = {"s1_001": b"", "s2_001": b""}, {"s1_002": b"", "s3_001": b""}
    (line,) = likeness.report({"train": train, "val": val})
    assert line.startswith("val: 1 of 2 images belong to a series of train, such as 's1'")
    assert likeness.report({"train": train}) == []
    assert "none is of the same series" in likeness.report({"train": {"s2_1": b""}, "val": val})[0]
