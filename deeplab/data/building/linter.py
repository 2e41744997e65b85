"""Checks every record of a folder of shards, reports what is wrong or odd, and draws a contact sheet."""

import collections
import dataclasses
import hashlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from deeplab.data import catalog, tfrecord
from deeplab.data.building import label_rules
from deeplab.errors import UserError
from deeplab.files import progress_bar
from deeplab.pictures.drawing import save_png

_STRIDE = 16  # crop sizes are suggested as a multiple of the usual output stride, plus one
_THUMBNAIL = (240, 180)  # width, height of a picture on the contact sheet


@dataclasses.dataclass
class Findings:
    """What the linter found in all splits."""

    problems: list = dataclasses.field(default_factory=list)  # one line each, which names a file
    counts: dict = dataclasses.field(default_factory=dict)  # {split: number of records}
    histogram: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))  # pixels per label
    sizes: list = dataclasses.field(default_factory=list)  # (height, width) of each good image
    samples: list = dataclasses.field(default_factory=list)  # (name, image, label) of the first good pairs


def lint(dataset_dir, dataset, num_samples):
    """Reads every record of every split; returns `Findings` with the first `num_samples` good pairs of each split."""
    found, first_with = Findings(), {}
    splits = tfrecord.splits(dataset_dir)
    if not splits:
        raise UserError(f"--dataset_dir={dataset_dir}: no *.tfrecord shards in it; build them with datasets/build_*.py")
    for split, paths in splits.items():
        _lint_split(split, paths, dataset, num_samples, found, first_with)
        expected, count = dataset.splits.get(split), found.counts.get(split, 0)
        if expected not in (None, count):
            found.problems.append(f"{dataset_dir}: {split} has {count} records, expected {expected}")
    return found


def _lint_split(split, paths, dataset, num_samples, found, first_with):
    """Adds what one split holds to the `Findings`.

    `first_with` maps the digest of an image to the (split, name) of the first record that holds it, in all splits.
    """
    names, samples = collections.Counter(), []
    with progress_bar.show(None, "record", split) as bar:
        for path, example in _examples(paths, found.problems):
            bar.update()
            found.counts[split] = found.counts.get(split, 0) + 1
            name, pair = _check_record(path, example, dataset, found)
            names[name] += 1
            if names[name] == 2:
                found.problems.append(f"{path}: {name}: the name occurs twice in split {split}")
            if pair is not None and len(samples) < num_samples:
                samples.append((f"{split} {name}", *pair))
            digest = hashlib.blake2b(_feature(example, tfrecord.IMAGE), digest_size=8).digest()
            first = first_with.setdefault(digest, (split, name))
            if first[0] != split and not _overlap(first[0], split):
                found.problems.append(f"{path}: {name}: the same image is {first[1]} in split {first[0]}")
    found.samples += samples


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
            tfrecord.index([path])
            for raw in tf.data.TFRecordDataset(path).as_numpy_iterator():
                yield path, tf.train.Example.FromString(raw)
        except UserError as error:
            problems.append(str(error))
        except Exception as error:  # DataLossError of the checksum, DecodeError of the protocol buffer
            problems.append(f"{path}: damaged: {' '.join(str(error).split())[:160]}")


def _folder_and_split(path):
    folder, _, name = path.rpartition("/")
    return folder or ".", tfrecord.SHARD_NAME.fullmatch(name)["split"]


def _feature(example, key):
    values = example.features.feature[key]
    values = values.bytes_list.value or values.int64_list.value
    return values[0] if values else b""


def _check_record(path, example, dataset, found):
    """Checks one record; returns its name, and (image, label) as arrays or None if they are bad."""
    name = _feature(example, tfrecord.FILENAME)
    name = name.decode(errors="replace") if name else "(no name)"
    keys = (tfrecord.IMAGE, tfrecord.FILENAME, tfrecord.FORMAT, tfrecord.HEIGHT, tfrecord.WIDTH, tfrecord.LABEL)
    missing = [key for key in keys if _feature(example, key) == b""]
    if missing:
        found.problems.append(f"{path}: {name}: lacks {', '.join(missing)}")
    if {tfrecord.IMAGE, tfrecord.LABEL} & set(missing):
        return name, None
    try:
        data = _feature(example, tfrecord.IMAGE)
        _, image_format, size, orientation = label_rules.stored_image(data)
        if orientation != 1:
            raise UserError(
                f"EXIF orientation {orientation}, which training ignores: it sees another picture than viewers and "
                "predict; build the split again, which stores it upright"
            )
        label_image = label_rules.open_image(_feature(example, tfrecord.LABEL))
        label_rules.check_same_size(size, (label_image.height, label_image.width))
        label = label_rules.to_classes(
            _gray(label_image), label_rules.LabelRules(dataset.num_classes, dataset.ignore_label)
        )
    except UserError as error:
        found.problems.append(f"{path}: {name}: {error}")
        return name, None
    written = (_feature(example, tfrecord.HEIGHT), _feature(example, tfrecord.WIDTH))
    if tfrecord.HEIGHT not in missing and tfrecord.WIDTH not in missing and written != size:
        found.problems.append(f"{path}: {name}: its record says {written}, the image has {size} (height, width)")
    claimed = _feature(example, tfrecord.FORMAT)
    if claimed and claimed.decode(errors="replace").lower().replace("jpg", "jpeg") != image_format:
        found.problems.append(f"{path}: {name}: its record says {claimed.decode()!r}, the image is {image_format}")
    found.histogram += np.bincount(label.ravel(), minlength=256)
    found.sizes.append(size)
    return name, (np.asarray(label_rules.open_image(data).convert("RGB")), label)


def _gray(image):
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype != np.uint8:
        raise UserError(f"label has mode {image.mode}: expected one channel of 8 bits; build the split again")
    return values


def report(found, dataset):
    """Returns the report as text: problems, sizes with a suggested crop, and the class histogram."""
    lines = [f"{len(found.problems)} problems", *(f"  {problem}" for problem in found.problems)]
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
        lines.append(f"  {label:3d} {dataset.class_name(label):24s} {count / total:8.3%}{note}")
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
        ImageDraw.Draw(sheet).text((x + 2, y + 1), name[:38], fill="black")
        sheet.paste(Image.fromarray(image).resize(_THUMBNAIL), (x, y + 14))
        sheet.paste(Image.fromarray(colormap[label]).resize(_THUMBNAIL, Image.Resampling.NEAREST), (x, y + 14 + height))
    save_png(path, sheet)
