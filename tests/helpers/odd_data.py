"""Folders as people have them, what `deeplab build` makes of each, and the table of docs/odd_data.md about that.

Every folder holds the same three pictures with the same classes, in another form. So what is built can be compared with
what should be, pixel by pixel: whatever is not refused has to be right.
"""

import contextlib
import io
import json
import re
import shlex
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab import cli
from deeplab.data import catalog, tfrecord
from deeplab.data.building import label_rules
from deeplab.errors import UserError
from deeplab.programs.builders import folder as builder
from helpers import fake_data

SIZE = (24, 32)
NAMES = ("road", "tree", "sky")
COLORS = np.array([(0, 0, 0), (0, 128, 0), (128, 128, 0)], np.uint8)
BUILT, WARNED, REFUSED = "built", "built, with a warning", "refused"
HEAD = "| what the folder holds | flags | what happens | what is said |\n|---|---|---|---|\n"


class Case(NamedTuple):
    """A folder, and what should become of it."""

    title: str
    draw: object  # function of the folder
    happens: str
    said: str = ""  # a part of the line that tells about it, which stands in the table
    flags: str = ""
    expected: object = None  # function (number of a picture) -> (H, W) labels; None: `classes`
    names: tuple = NAMES
    splits: tuple = ("train",)


def classes(number):
    """Returns the labels (H, W) of picture `number`: three stripes."""
    height, width = SIZE
    stripes = (np.arange(width) * 3 // width + number) % 3
    return np.tile(stripes, (height, 1)).astype(np.uint8)


def halves(number):
    return (classes(number) > 0).astype(np.uint8)


def void_row(number):
    labels = classes(number)
    labels[0] = 255
    return labels


def draw(folder, mask, kind="png", images="images/{}.jpg", masks="masks/{}", numbers=(0, 1, 2), **options):
    """Writes the pictures and their masks, which the function `mask` makes of the number of a picture."""
    for number in numbers:
        fake_data.save(fake_data.image(*SIZE, seed=number), folder / images.format(number), quality=95)
        fake_data.save(mask(number), folder / f"{masks.format(number)}.{kind}", **options)


def masks(mask=classes, files=None, **options):
    """Returns a function that draws a folder with `files` ({name: text or bytes}) beside the masks."""

    def write(folder):
        draw(folder, mask, **options)
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def listed(**parts):
    return {"classes.txt": "\n".join(NAMES), **parts}


def colored(number):
    return COLORS[classes(number)]


def blended(number):
    """A colour mask that was moved by a third of a pixel with interpolation, which blends colours at the borders."""
    picture = Image.fromarray(colored(number)).resize((SIZE[1] * 3, SIZE[0] * 3), Image.Resampling.BILINEAR)
    return np.asarray(picture)[::3, ::3]


def cells(number):
    """Two objects with numbers above 255."""
    ids = np.zeros(SIZE, np.uint16)
    ids[4:12, 4 + number : 14] = 300
    ids[4:12, 14:22] = 301 + number
    return ids


def cell_classes(number):
    return (cells(number) > 0).astype(np.uint8)


def bordered_cells(number):
    ids = np.pad(cells(number).astype(int), 1, mode="edge")
    inner = ids[1:-1, 1:-1]
    sides = [ids[:-2, 1:-1], ids[2:, 1:-1], ids[1:-1, :-2], ids[1:-1, 2:]]
    border = np.any([side != inner for side in sides], 0) & (inner > 0)
    return np.where(border, 2, inner > 0).astype(np.uint8)


def one_file_per_object(folder):
    for number in range(3):
        fake_data.save(fake_data.image(*SIZE, seed=number), folder / f"n{number}" / "images" / f"n{number}.png")
        for i in np.unique(cells(number))[1:]:
            mask = np.where(cells(number) == i, 255, 0).astype(np.uint8)
            fake_data.save(mask, folder / f"n{number}" / "masks" / f"{i}.png")


def changing_palettes(folder):
    masks(files={"classes.json": json.dumps(dict(zip(NAMES, COLORS.tolist(), strict=True)))})(folder)
    for number in range(3):  # the indices in the order in which the colours occur
        order = [number, (number + 1) % 3, (number + 2) % 3]
        palette = np.vstack([COLORS[order], np.full((253, 3), 9)]).astype(np.uint8)
        fake_data.save(
            np.argsort(order)[classes(number)].astype(np.uint8),
            folder / "masks" / f"{number}.png",
            palette.ravel().tolist(),
        )


def exif_turned(folder):
    """Pictures as a phone stores them, lying on their side, and masks drawn as they are shown."""
    masks(files=listed())(folder)
    for number in range(3):
        exif = Image.Exif()
        exif[0x0112] = 6
        lying = np.rot90(fake_data.image(*SIZE, seed=number)).copy()
        fake_data.save(lying, folder / "images" / f"{number}.jpg", exif=exif)


def split_folders(folder):
    for split, numbers in (("train", (0, 1)), ("valid", (2,))):
        draw(folder / split, classes, numbers=numbers)
    (folder / "data.yaml").write_text("train: train/images\nnc: 3\nnames: [road, tree, sky]  # in order\n")


def cvat(folder):
    draw(folder, colored, images="JPEGImages/{}.jpg", masks="SegmentationClass/{}")
    masks_of = folder / "ImageSets" / "Segmentation"
    masks_of.mkdir(parents=True)
    (masks_of / "default.txt").write_text("0\n1\n2\n")
    rows = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(NAMES, COLORS, strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *rows]))


def cut_off(folder):
    masks(files=listed())(folder)
    (folder / "masks" / "1.png").write_bytes((folder / "masks" / "1.png").read_bytes()[:60])


def without_a_label(folder):
    masks(files=listed())(folder)
    (folder / "masks" / "1.png").unlink()


def with_a_copy(folder):
    masks(files=listed(**{"train.txt": "0\n1\n", "val.txt": "2\n"}))(folder)
    for kind, extension in (("images", "jpg"), ("masks", "png")):
        (folder / kind / f"2.{extension}").write_bytes((folder / kind / f"0.{extension}").read_bytes())


def drives(folder):
    draw(folder, classes, images="images/s{}_001.jpg", masks="masks/s{}_001", numbers=(0, 1))
    draw(folder, classes, images="images/s0_00{}.jpg", masks="masks/s0_00{}", numbers=(2,))
    (folder / "classes.txt").write_text("\n".join(NAMES))
    (folder / "train.txt").write_text("s0_001\ns1_001\n")
    (folder / "val.txt").write_text("s0_002\n")


def nothing(folder):
    folder.mkdir(parents=True)


TABLE = "name;r;g;b\n" + "\n".join(f"{n};{r};{g};{b}" for n, (r, g, b) in zip(NAMES, COLORS, strict=True))
FAR_IDS = dict(zip(NAMES, (3, 11, 200), strict=True))
HALF = {"names": ("background", "cell"), "expected": halves}
CELLS = {"names": ("background", "object"), "expected": cell_classes}
CASES = (
    Case("index masks and `classes.txt`", masks(files=listed()), BUILT),
    Case(
        "index masks without names",
        masks(),
        REFUSED,
        "name them by --class_names",
        names=("class_0", "class_1", "class_2"),
    ),
    Case("index masks, and 255 for what does not count", masks(void_row, listed()), BUILT, expected=void_row),
    Case(
        "`labels.txt` of labelme, which begins with `__ignore__`",
        masks(void_row, {"labels.txt": "\n".join(("__ignore__", *NAMES))}),
        BUILT,
        "'__ignore__' does not count",
        expected=void_row,
    ),
    Case(
        "`classes.txt` with a header, comments and a byte order mark",
        masks(files={"classes.txt": ("\ufeff# ours\r\nclass\r\n" + "\r\n".join(NAMES)).encode()}),
        BUILT,
    ),
    Case(
        "a line in `classes.txt` that is no name",
        masks(files={"classes.txt": "road\ntree\nitem {\n"}),
        REFUSED,
        "line 3",
    ),
    Case(
        "a class list with a name that occurs twice",
        masks(files={"classes.txt": "road\ntree\nroad\n"}),
        REFUSED,
        "line 3",
    ),
    Case(
        "a palette and `labelmap.txt`",
        masks(
            files={"labelmap.txt": "\n".join(f"{n}:{r},{g},{b}::" for n, (r, g, b) in zip(NAMES, COLORS, strict=True))},
            palette=[*COLORS.ravel().tolist(), *[9] * 759],
        ),
        BUILT,
    ),
    Case("palettes in another order in each file", changing_palettes, BUILT, "the colours are what counts"),
    Case("colour masks and `classes.csv` with `name;r;g;b`", masks(colored, {"classes.csv": TABLE}), BUILT),
    Case(
        "colour masks without names",
        masks(colored),
        REFUSED,
        "name them by --class_names",
        names=("class_0", "class_1", "class_2"),
    ),
    Case(
        "colour masks with three equal channels, which are ids",
        masks(lambda n: np.dstack([classes(n)] * 3), listed()),
        BUILT,
    ),
    Case("interpolated colours", masks(blended, {"classes.csv": TABLE}), REFUSED, "colours that belong to no class"),
    Case(
        "interpolated colours",
        masks(blended, {"classes.csv": TABLE}),
        WARNED,
        "took the nearest colour",
        flags="--color_tolerance=70",
    ),
    Case(
        "interpolated colours, and a tolerance that is too small",
        masks(blended, {"classes.csv": TABLE}),
        REFUSED,
        "are farther than --color_tolerance=5",
        flags="--color_tolerance=5",
    ),
    Case(
        "photographs in place of masks",
        masks(lambda n: fake_data.image(*SIZE, seed=n)),
        REFUSED,
        "colours are no classes",
    ),
    Case(
        "black and white masks, two classes named",
        masks(lambda n: halves(n) * 255),
        BUILT,
        flags="--class_names=background,cell",
        **HALF,
    ),
    Case(
        "black and white masks, one class named",
        masks(lambda n: halves(n) * 255),
        WARNED,
        "background comes before 'cell'",
        flags="--class_names=cell",
        **HALF,
    ),
    Case(
        "black and white masks, and a list that names white first",
        masks(
            lambda n: (1 - halves(n)) * 255,
            {"classes.json": json.dumps({"background": [255, 255, 255], "cell": [0, 0, 0]})},
        ),
        BUILT,
        **HALF,
    ),
    Case(
        "black and white masks",
        masks(lambda n: halves(n) * 255),
        REFUSED,
        "with one class there is nothing to learn",
        flags="--num_classes=1",
        names=("background", "object"),
        expected=halves,
    ),
    Case(
        "black and white JPEG masks, one class named",
        masks(lambda n: halves(n) * 255, kind="jpg", quality=90),
        WARNED,
        "background comes before 'cell'",
        flags="--class_names=cell",
        **HALF,
    ),
    Case("masks of 1 bit", masks(lambda n: halves(n) > 0), BUILT, flags="--class_names=background,cell", **HALF),
    Case(
        "soft masks with grey borders",
        masks(lambda n: halves(n) * 200 + 20),
        REFUSED,
        "--binary_threshold=128",
        flags="--class_names=background,cell --label_format=binary",
    ),
    Case(
        "soft masks with grey borders",
        masks(lambda n: halves(n) * 200 + 20),
        BUILT,
        flags="--class_names=background,cell --binary_threshold=128",
        **HALF,
    ),
    Case(
        "JPEG masks of class ids", masks(lambda n: classes(n) * 90, kind="jpg"), REFUSED, "save the labels again as PNG"
    ),
    Case(
        "ids from 1, 0 is no data",
        masks(lambda n: classes(n) + 1),
        BUILT,
        flags="--class_names=road,tree,sky --reduce_zero_label",
    ),
    Case(
        "ids 3, 11 and 200, and a list of names and ids",
        masks(lambda n: np.array([3, 11, 200], np.uint8)[classes(n)], {"classes.json": json.dumps(FAR_IDS)}),
        BUILT,
    ),
    Case("a value that no class names", masks(lambda n: classes(n) * 4, listed()), REFUSED, "4 (264 pixels)"),
    Case(
        "a class that never occurs",
        masks(files={"classes.txt": "road\ntree\nsky\nwall"}),
        WARNED,
        "1 of 4 classes do not occur: wall",
        names=(*NAMES, "wall"),
    ),
    Case(
        "a class and void with one id",
        masks(files=listed()),
        REFUSED,
        "is also the number of the class",
        flags="--ignore_label=1",
    ),
    Case(
        "masks of half the size",
        masks(lambda n: classes(n)[::2, ::2], listed()),
        REFUSED,
        "image is 32x24, label 16x12",
    ),
    Case(
        "masks of half the size",
        masks(lambda n: classes(n)[::2, ::2], listed()),
        WARNED,
        "labels resized to their images",
        flags="--resize_masks",
        expected=lambda n: np.repeat(np.repeat(classes(n)[::2, ::2], 2, 0), 2, 1),
    ),
    Case(
        "masks that were turned",
        masks(lambda n: np.rot90(classes(n)).copy(), listed()),
        REFUSED,
        "one of them was turned",
    ),
    Case("photographs of a phone, which EXIF turns", exif_turned, WARNED, "turned upright"),
    Case("16-bit numbers of objects", masks(cells, kind="tif"), REFUSED, "number objects", **CELLS),
    Case("16-bit numbers of objects", masks(cells, kind="tif"), BUILT, flags="--instances_as=object", **CELLS),
    Case(
        "16-bit numbers of objects, with borders",
        masks(cells, kind="tif"),
        BUILT,
        names=("background", "cell", "edge"),
        flags="--instances_as=cell --border_class=edge --border_pixels=1",
        expected=bordered_cells,
    ),
    Case(
        "a folder of masks for each picture, one for each object",
        one_file_per_object,
        REFUSED,
        "each object has a mask",
        **CELLS,
    ),
    Case(
        "`img_0.png` and `mask_0.png` in one folder",
        masks(files=listed(), images="img_{}.png", masks="mask_{}"),
        WARNED,
        "taken as pairs",
    ),
    Case("CVAT's segmentation mask 1.1", cvat, BUILT),
    Case("`train/images`, `valid/images` and `data.yaml`", split_folders, BUILT, splits=("train", "val")),
    Case(
        "lists with two columns, comments and a byte order mark",
        masks(files=listed(**{"train.txt": "\ufeff# pairs\n0.jpg,0.png\n1.jpg\t1.png\n", "val.txt": "2.jpg 2.png\n"})),
        BUILT,
        splits=("train", "val"),
    ),
    Case(
        "a list that names a picture that is not there",
        masks(files=listed(**{"train.txt": "0\n7\n"})),
        REFUSED,
        "7: its image is missing",
    ),
    Case(
        "names with spaces, accents and folders",
        masks(files=listed(), images="images/été 1/a {}.jpg", masks="masks/été 1/a {}"),
        BUILT,
    ),
    Case("a picture without a mask", without_a_label, REFUSED, "its label is missing"),
    Case("a picture without a mask", without_a_label, WARNED, "1 left out", flags="--skip_bad"),
    Case("a mask that is cut off", cut_off, REFUSED, "damaged or cut off"),
    Case(
        "a picture that is in train and in val",
        with_a_copy,
        WARNED,
        "look almost as one of train",
        expected=lambda n: classes(0 if n == 2 else n),
        splits=("train", "val"),
    ),
    Case(
        "two frames of a film, one in train and one in val",
        drives,
        WARNED,
        "belong to a series of train",
        splits=("train", "val"),
        expected=lambda n: None,
    ),
    Case(
        "two frames of a film, one in train and one in val",
        drives,
        REFUSED,
        "in both train and val",
        flags="--group_by=(s[0-9])_",
    ),
    Case(
        "two frames of a film",
        drives,
        BUILT,
        flags="--group_by=(s[0-9])_ --val_fraction=0.3",
        splits=("train", "val"),
        expected=lambda n: None,
    ),
    Case("nothing", nothing, REFUSED, "holds no"),
)


def build(source, output, flags=""):
    """Runs `deeplab build SOURCE --output_dir=OUTPUT flags` in this process; returns (what it printed, error or "")."""
    return _run(
        [f"--folder={source}", f"--output_dir={output}", "--num_shards=1", "--num_workers=1", *shlex.split(flags)]
    )


def _run(words):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            builder.build_folder_data(cli.read(builder.FolderConfig, ["deeplab build folder", *words]))
        except UserError as error:
            return printed.getvalue(), str(error)
    return printed.getvalue(), ""


def paste(message):
    """Runs the command that a refusal ends with; returns what `build` returns, None if there is no command."""
    last = message.splitlines()[-1]
    if not last.startswith("deeplab build "):
        return None
    words = shlex.split(last)[2:]
    return _run([f"--folder={words[0]}", *words[1:]])


def wrong(case, output):
    """Returns what is wrong with a data set that was built of a `Case`, "" if nothing is."""
    dataset = catalog.load(str(output))
    if tuple(dataset.splits) != case.splits:
        return f"splits {dataset.splits}"
    if dataset.class_names != case.names:
        return f"classes {dataset.class_names}"
    for path in [path for paths in tfrecord.splits(str(output)).values() for path in paths]:
        for raw in tfrecord.read_all(path, tfrecord.scan(path).rows):
            example = tf.train.Example.FromString(raw)
            name = tfrecord.value(example, tfrecord.FILENAME).decode()
            expected = (case.expected or classes)(int(re.search(r"(\d+)$", name)[1]))
            found = np.asarray(label_rules.open_image(tfrecord.value(example, tfrecord.LABEL)))
            if expected is not None and not np.array_equal(found, expected):
                return f"labels of {name}"
    return "" if tfrecord.splits(str(output)).keys() == dataset.splits.keys() else "shards"


def row(case, printed, error, root):
    """Returns the row of a `Case` for the table of the docs."""
    said = ""
    if case.said:
        lines = [line for line in f"{printed}\n{error}".splitlines() if case.said in line]
        said = lines[0].strip() if lines else "NOT SAID"
    said = said.replace(str(root), "").replace("/folder", "FOLDER").replace("|", "/")
    said = re.sub(r"^odd +", "", said)
    flags = f"`{case.flags}`" if case.flags else ""
    happens = f"{case.happens}; the message has the command" if "deeplab build " in error else case.happens
    return f"| {case.title} | {flags} | {happens} | {said} |"
