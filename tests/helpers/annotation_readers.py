"""Small readers of annotations, for round trips: what a tool would show, drawn as class ids.

`READERS` has one function for each format of predict's --write: (output folder, {name of a class: class id}, class id
of what no shape covers) -> {path of an image: labels (H, W)}. They know only what predict writes.
"""

import json
from urllib import parse
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

_FINE = 8  # parts of a pixel


def blobs(height, width, classes=4, seed=0):
    """Returns labels (H, W) with smooth regions, some of them with holes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width) * 12
    fields = [sum(np.sin(a * x + b * y + c) for a, b, c in random.normal(0, 1, (6, 3))) for _ in range(classes)]
    return np.argmax(fields, axis=0)


def drawn(rings, size):
    """Returns (H, W) bool: the pixels whose centres lie inside of rings (N, 2), by the even-odd rule."""
    inside = np.zeros(size, bool)
    for ring in rings:
        image = Image.new("1", (size[1] * _FINE, size[0] * _FINE))
        ImageDraw.Draw(image).polygon((np.asarray(ring) * _FINE).reshape(-1).tolist(), fill=1)
        inside ^= np.asarray(image)[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]
    return inside


def _boxed(counts, left, top, width, height, size):
    whole = np.zeros(size, bool)
    inside = np.repeat(np.arange(len(counts)) % 2, counts).reshape(height, width)
    whole[top : top + height, left : left + width] = inside
    return whole


def coco(folder, classes, beneath):
    content = json.loads((folder / "coco" / "annotations.json").read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    images = {one["id"]: one for one in content["images"]}
    found = {one["file_name"]: np.full((one["height"], one["width"]), beneath) for one in content["images"]}
    for one in content["annotations"]:
        labels = found[images[one["image_id"]]["file_name"]]
        rings = [np.reshape(ring, (-1, 2)) for ring in one["segmentation"]]
        labels[drawn(rings, labels.shape)] = classes[names[one["category_id"]]]
    return found


def labelme(folder, classes, beneath):
    """Draws as labelme's own converter does: by Pillow, without the fractions of points."""
    found = {}
    for path in (folder / "labelme").rglob("*.json"):
        content = json.loads(path.read_text())
        image = Image.new("I", (content["imageWidth"], content["imageHeight"]), beneath)
        for shape in content["shapes"]:
            label = classes[shape["label"]]
            ImageDraw.Draw(image).polygon([tuple(p) for p in shape["points"]], fill=label, outline=label)
        found[(path.parent / content["imagePath"]).resolve().name] = np.asarray(image)
    return found


def cvat(folder, classes, beneath):
    found = {}
    for image in ElementTree.parse(folder / "cvat" / "annotations.xml").getroot().iter("image"):
        labels = np.full((int(image.get("height")), int(image.get("width"))), beneath)
        for shape in image:
            if shape.tag == "polygon":
                ring = [list(map(float, point.split(","))) for point in shape.get("points").split(";")]
                inside = drawn([ring], labels.shape)
            else:
                box = [int(shape.get(side)) for side in ("left", "top", "width", "height")]
                inside = _boxed(list(map(int, shape.get("rle").split(","))), *box, labels.shape)
            labels[inside] = classes[shape.get("label")]
        found[image.get("name")] = labels
    return found


def label_studio(folder, classes, beneath):
    found = {}
    for task in json.loads((folder / "label-studio" / "tasks.json").read_text()):
        (prediction,), labels = task["predictions"], None
        for one in prediction["result"]:
            size = one["original_height"], one["original_width"]
            labels = np.full(size, beneath) if labels is None else labels
            value = one["value"]
            if one["type"] == "polygonlabels":
                inside = drawn([np.array(value["points"]) * size[::-1] / 100], size)
            else:
                inside = brush(value["rle"])[::4].reshape(size) > 127
            labels[inside] = classes[value[one["type"]][0]]
        name = parse.parse_qs(parse.urlsplit(task["data"]["image"]).query)["d"][0]
        found[name] = labels
    return found


def brush(content):
    """Returns the values of a brush stroke, (height * width * 4,)."""
    bits, at, values = "".join(f"{byte:08b}" for byte in content), 0, []

    def number(size):
        nonlocal at
        at += size
        return int(bits[at - size : at], 2)

    total, word = number(32), number(5) + 1
    sizes = [number(4) + 1 for _ in range(4)]
    while len(values) < total:
        is_run, length = number(1), number(sizes[number(2)]) + 1
        values += [number(word)] * length if is_run else [number(word) for _ in range(length)]
    return np.array(values)


def yolo(folder, classes, beneath, sizes):
    """Takes {name without suffix: (height, width)}, too, since YOLO's files do not tell sizes."""
    lines = (folder / "yolo" / "data.yaml").read_text().split("names:\n")[1].splitlines()
    names = {int(line.split(":")[0]): json.loads(line.split(": ", 1)[1]) for line in lines}
    found = {}
    for name, size in sizes.items():
        labels = np.full(size, beneath)
        for line in (folder / "yolo" / "labels" / f"{name}.txt").read_text().splitlines():
            number, *points = line.split()
            ring = np.array(points, float).reshape(-1, 2) * size[::-1]
            labels[drawn([ring], size)] = classes[names[int(number)]]
        found[name] = labels
    return found


READERS = {"coco": coco, "labelme": labelme, "cvat": cvat, "label-studio": label_studio}
