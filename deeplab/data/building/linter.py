"""Checks every record of a folder of shards, reports what is wrong or odd, and draws a contact sheet."""

import collections
import dataclasses
import hashlib
import os
import sys

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from deeplab.data import catalog, tfrecord
from deeplab.data.building import label_rules, upright
from deeplab.data.building.bands.rules import ImageRules
from deeplab.data.channels import stored
from deeplab.errors import UserError
from deeplab.files import escaping, progress_bar
from deeplab.pictures.bands import shown
from deeplab.pictures.drawing import save_png

_STRIDE = 16  # crop sizes are suggested as a multiple of the usual output stride, plus one
_THUMBNAIL = (240, 180)  # width, height of a picture on the contact sheet
_NAMED = 3  # images that a problem of many images names
_FLAT = 2  # grey levels from the darkest to the brightest pixel that count as one colour; a JPEG adds one or two
_BLACK = 16  # grey levels; darker pixels count as black
_BRIGHT_SHARE = 0.01  # an image with a smaller share of other pixels is nearly black


@dataclasses.dataclass
class Findings:
    """What the linter found in all splits."""

    problems: list = dataclasses.field(default_factory=list)  # one line each, which names a file
    counts: dict = dataclasses.field(default_factory=dict)  # {split: number of records}
    histograms: dict = dataclasses.field(default_factory=dict)  # {split: (256,) pixels per label}
    sizes: list = dataclasses.field(default_factory=list)  # (height, width) of each good image
    samples: list = dataclasses.field(default_factory=list)  # (name, image, label) of the first good pairs
    alike: dict = dataclasses.field(default_factory=dict)  # {what is wrong with images: their names}

    @property
    def histogram(self):
        """The number of pixels of each label value in all splits, (256,)."""
        return sum(self.histograms.values(), np.zeros(256, np.int64))


def lint(dataset_dir, dataset, num_samples):
    """Reads every record of every split; returns `Findings` with the first `num_samples` good pairs of each split."""
    found, holders = Findings(), {}
    splits = tfrecord.splits(dataset_dir)
    if not splits:
        raise UserError(f"--dataset_dir={dataset_dir}: no *.tfrecord shards in it; build them with deeplab build")
    for split, paths in splits.items():
        _lint_split(split, paths, dataset, num_samples, found, holders)
        if others := tfrecord.left_over(dataset_dir, split):
            found.problems.append(others)
        found.problems += _without_content(split, found.histograms[split], dataset, dataset_dir)
        expected, count = dataset.splits.get(split), found.counts.get(split, 0)
        if expected not in (None, count):
            found.problems.append(f"{dataset_dir}: {split} has {count} records, expected {expected}")
    for what, names in found.alike.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        found.problems.append(f"{dataset_dir}: {what}: {len(names)} ({', '.join(names[:_NAMED])}{more})")
    return found


def _without_content(split, histogram, dataset, dataset_dir):
    """Returns a list with a line if nothing can be learned from the labels of a split, else an empty list."""
    classes = [label for label in np.flatnonzero(histogram) if label != dataset.ignore_label]
    if histogram.any() and not classes:
        return [f"{dataset_dir}: split {split}: no pixel has a class, all have the ignore label {dataset.ignore_label}"]
    if len(classes) == 1 and dataset.num_classes > 1:
        return [f"{dataset_dir}: split {split}: all pixels with a class are {dataset.class_name(classes[0])}"]
    return []


def _lint_split(split, paths, dataset, num_samples, found, holders):
    """Adds what one split holds to the `Findings`.

    `holders` maps the digest of an image to {split: name of the first record there that holds it}.
    """
    names, samples = collections.Counter(), []
    found.histograms[split] = np.zeros(256, np.int64)
    with progress_bar.show(None, "record", split) as bar:
        for path, example in _examples(paths, found.problems):
            bar.update()
            found.counts[split] = found.counts.get(split, 0) + 1
            name, pair = _check_record(path, example, dataset, found)
            names[name] += 1
            if names[name] == 2:
                found.problems.append(f"{path}: {name}: the name occurs twice in split {split}")
            if pair is not None:
                found.histograms[split] += np.bincount(pair[1].ravel(), minlength=256)
                _check_pixels(split, name, pair[0], found)
                if len(samples) < num_samples:
                    samples.append((f"{split} {name}", *pair))
            image = tfrecord.value(example, tfrecord.IMAGE) if pair is None else pair[0].tobytes()
            _check_leak(split, name, holders.setdefault(hashlib.blake2b(image, digest_size=8).digest(), {}), found)
    found.samples += samples


def _check_pixels(split, name, image, found):
    """Notes an image (H, W, 3) on which nothing can be seen."""
    if int(np.ptp(image, axis=(0, 1)).max()) <= _FLAT:
        found.alike.setdefault(f"split {split}: images of a single colour", []).append(name)
    elif (image.max(axis=2) >= _BLACK).mean() < _BRIGHT_SHARE:
        found.alike.setdefault(f"split {split}: nearly black images", []).append(name)


def _check_leak(split, name, holders, found):
    """Notes a record whose image other splits hold, too; `holders` is {split: name of the record} of that image."""
    for other, same in holders.items():
        if other != split and not _overlap(other, split):
            both = found.alike.setdefault(f"the same images are in the splits {other} and {split}", [])
            both.append(name if name == same else f"{same}={name}")
    holders.setdefault(split, name)


def _overlap(first, second):
    """Tells whether splits share images by design: trainval holds train and val, train_aug holds train."""
    return any("trainval" in split for split in (first, second)) or first.startswith("train") == second.startswith(
        "train"
    )


def _examples(paths, problems):
    """Yields (path, tf.train.Example) of all records; adds a line to `problems` for each damaged shard."""
    try:
        tfrecord.shards(*_folder_and_split(paths[0]))
    except UserError as error:
        problems.append(str(error))
    for path in paths:
        try:
            records = enumerate(tfrecord.read_all(path, tfrecord.scan(path).rows))
            for number, raw in records:
                if raw is None:
                    problems.append(tfrecord.damaged_bytes(path, number))
                elif (example := _parsed(raw)) is None:
                    problems.append(f"{path}: record {number} (counted from 0) is no tf.train.Example")
                else:
                    yield path, example
        except UserError as error:
            problems.append(str(error))
        except Exception as error:  # of the file system
            problems.append(f"{path}: cannot be read: {' '.join(str(error).split())[:160]}")


def _parsed(raw):
    """Returns the tf.train.Example of the bytes of a record, or None if they are none."""
    try:
        return tf.train.Example.FromString(raw)
    except Exception:  # DecodeError of the protocol buffer, whose class depends on its implementation
        return None


def _folder_and_split(path):
    folder, _, name = path.rpartition("/")
    return folder or ".", tfrecord.SHARD_NAME.fullmatch(name)["split"]


def _check_record(path, example, dataset, found):
    """Checks one record; returns its name, and (image, label) as arrays or None if they are bad."""
    name = tfrecord.value(example, tfrecord.FILENAME)
    name = name.decode(errors="replace") if name else "(no name)"
    keys = (tfrecord.IMAGE, tfrecord.FILENAME, tfrecord.FORMAT, tfrecord.HEIGHT, tfrecord.WIDTH, tfrecord.LABEL)
    missing = [key for key in keys if tfrecord.value(example, key) == b""]
    if missing:
        found.problems.append(f"{path}: {name}: lacks {', '.join(missing)}")
    if {tfrecord.IMAGE, tfrecord.LABEL} & set(missing):
        return name, None
    try:
        data = tfrecord.value(example, tfrecord.IMAGE)
        image, image_format, size, orientation = _read_image(data, dataset)
        if orientation != 1:
            raise UserError(
                f"EXIF orientation {orientation}, which training ignores: it sees another picture than viewers and "
                "predict; build the split again, which stores it upright"
            )
        label_image = label_rules.open_image(tfrecord.value(example, tfrecord.LABEL))
        upright.check_same_size(size, (label_image.height, label_image.width))
        label = label_rules.to_classes(
            _gray(label_image), label_rules.LabelRules(dataset.num_classes, dataset.ignore_label)
        )
    except UserError as error:
        found.problems.append(f"{path}: {name}: {error}")
        return name, None
    written = (tfrecord.value(example, tfrecord.HEIGHT), tfrecord.value(example, tfrecord.WIDTH))
    if tfrecord.HEIGHT not in missing and tfrecord.WIDTH not in missing and written != size:
        found.problems.append(f"{path}: {name}: its record says {written}, the image has {size} (height, width)")
    claimed = tfrecord.value(example, tfrecord.FORMAT)
    if claimed and claimed.decode(errors="replace").lower().replace("jpg", "jpeg") != image_format:
        found.problems.append(
            f"{path}: {name}: its record says {escaping.decoded(claimed)!r}, the image is {image_format}"
        )
    found.sizes.append(size)
    return name, (image, label)


def _read_image(data, dataset):
    """Returns (picture (H, W, 3) uint8, format, (height, width), EXIF orientation) of the image of a record."""
    if dataset.stores_bands:
        pixels = stored.decode(data)
        if pixels.shape[-1] != dataset.num_channels:
            raise UserError(f"{pixels.shape[-1]} channels: expected {dataset.num_channels}, as {catalog.FILE} says")
        return shown.rgb(pixels), stored.FORMAT, pixels.shape[:2], 1
    image = label_rules.stored_image(data, ImageRules(max_pixels=sys.maxsize))
    pixels = np.asarray(label_rules.open_image(data, sys.maxsize).convert("RGB"))
    return pixels, image.format, image.size, image.orientation


def _gray(image):
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype != np.uint8:
        raise UserError(f"label has mode {image.mode}: expected one channel of 8 bits; build the split again")
    return values


def check(config):
    """Prints the report of a `CheckConfig` and writes its contact sheet; returns the exit code, 1 with problems."""
    dataset = catalog.load(config.dataset_dir, config.dataset)
    catalog.refuse_other(config.dataset, dataset)
    found = lint(config.dataset_dir, dataset, config.num_samples)
    print(report(found, dataset))
    path = config.contact_sheet or os.path.join(config.dataset_dir, "contact_sheet.png")
    contact_sheet(found, dataset, path)
    print(f"contact sheet: {path}")
    return 1 if found.problems else 0


def report(found, dataset):
    """Returns the report as text: problems, sizes with a suggested crop, and the class histogram."""
    lines = [f"{len(found.problems)} problems", *(f"  {escaping.terminal(problem)}" for problem in found.problems)]
    lines += [f"{split}: {count} records" for split, count in found.counts.items()]
    if found.sizes:
        sizes = np.array(found.sizes)
        (low_height, low_width), (height, width) = sizes.min(axis=0), sizes.max(axis=0)
        crop = ",".join(str(-(-(side - 1) // _STRIDE) * _STRIDE + 1) for side in (height, width))
        lines += [
            f"sizes (height x width): {low_height} to {height} x {low_width} to {width}",
            f"suggested --eval_crop_size={crop} (just above the largest image; training crops may be smaller)",
        ]
    total = max(1, found.histogram.sum())
    ignored = found.histogram[dataset.ignore_label]
    lines.append(f"pixels: {total}, ignored {ignored / total:.1%}")
    for label in range(dataset.num_classes):
        count = 0 if label == dataset.ignore_label else found.histogram[label]
        note = "" if count else "  ABSENT" if label != dataset.ignore_label else "  ignored"
        name = escaping.terminal(dataset.class_name(label))
        lines.append(f"  {label:3d} {name:24s} {count / total:8.3%}{note}")
    return "\n".join(lines)


def contact_sheet(found, dataset, path):
    """Writes a PNG that shows each sample image above its labels in the colours of the data set."""
    columns = min(6, max(1, len(found.samples)))
    rows = -(-len(found.samples) // columns)
    width, height = _THUMBNAIL
    sheet = Image.new("RGB", (columns * width, max(1, rows) * (2 * height + 14)), "white")
    colormap = catalog.label_colormap(dataset)
    colormap[dataset.ignore_label] = (255, 255, 255)
    for i, (name, image, label) in enumerate(found.samples):
        x, y = i % columns * width, i // columns * (2 * height + 14)
        ImageDraw.Draw(sheet).text((x + 2, y + 1), escaping.terminal(name[:38]), fill="black")
        sheet.paste(Image.fromarray(image).resize(_THUMBNAIL), (x, y + 14))
        sheet.paste(Image.fromarray(colormap[label]).resize(_THUMBNAIL, Image.Resampling.NEAREST), (x, y + 14 + height))
    save_png(path, sheet)
