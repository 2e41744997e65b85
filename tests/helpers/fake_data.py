"""Makes small data sets on disk: pairs of image and label files, and shards of them."""

import numpy as np
from PIL import Image

from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.data import catalog
from deeplab.data.building import builder, label_rules
from deeplab.data.building.listing import Pair


def image(height=48, width=64, seed=0):
    """Returns (H, W, 3) uint8: smooth colours, different for each seed."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / (5 + seed % 7) + x / (9 + c) + seed) for c in range(3)]
    return (127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


def label(height=48, width=64, seed=0, num_classes=3, ignore=255):
    """Returns (H, W) uint8: vertical stripes of all classes with a frame of ignored pixels."""
    stripes = (np.arange(width) // 4 + seed) % num_classes
    result = np.tile(stripes.astype(np.uint8), (height, 1))
    result[0] = ignore
    return result


def save(array, path, palette=None, **options):
    """Writes an image file, in mode P if there is a `palette` (flat list of RGB values); returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path, **options)
    return str(path)


def folders(root, count=5, num_classes=3, size=(48, 64), extension="jpg"):
    """Writes `count` pairs to root/images and root/labels; returns their `Pair`s."""
    pairs = []
    for i in range(count):
        paths = (root / "images" / f"img_{i}.{extension}", root / "labels" / f"img_{i}.png")
        picture, classes = image(*size, seed=i), label(*size, seed=i, num_classes=num_classes)
        pairs.append(Pair(f"img_{i}", save(picture, paths[0]), save(classes, paths[1])))
    return pairs


def shards(root, splits=None, num_classes=3, **options):
    """Builds shards below `root` with `splits` ({split: number of images}); returns the folder."""
    config = BuildTo(str(root / "shards"))
    pairs = {
        split: folders(root / split, count, num_classes, **options) for split, count in (splits or {"train": 5}).items()
    }
    dataset = catalog.Dataset("fake", num_classes, class_names=tuple(f"kind {i}" for i in range(num_classes)))
    builder.build(pairs, dataset, label_rules.LabelRules(num_classes), config)
    return config.output_dir


def mixed_shards(root, sizes, void_sizes=(), num_classes=3):
    """Builds shards of one split, "val", whose images have these (height, width); returns the folder.

    The images of `void_sizes` come after the others. All their pixels have the ignore label.
    """
    pairs = []
    for i, size in enumerate((*sizes, *void_sizes)):
        classes = label(*size, i, num_classes) if i < len(sizes) else np.full(size, 255, np.uint8)
        paths = root / "images" / f"img_{i}.png", root / "labels" / f"img_{i}.png"
        pairs.append(Pair(f"img_{i}", save(image(*size, i), paths[0]), save(classes, paths[1])))
    dataset = catalog.Dataset("fake", num_classes, class_names=tuple(f"kind {i}" for i in range(num_classes)))
    config = BuildTo(str(root / "shards"))
    builder.build({"val": pairs}, dataset, label_rules.LabelRules(num_classes), config)
    return config.output_dir


class BuildTo:
    """A `BuildConfig` for tests: two shards, one process."""

    num_shards, workers, skip_bad, append, overwrite, dry_run = 2, 1, False, False, False, False
    max_image_pixels = MAX_IMAGE_PIXELS

    def __init__(self, output_dir, **options):
        self.output_dir = output_dir
        self.__dict__.update(options)
