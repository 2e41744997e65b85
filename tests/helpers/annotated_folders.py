"""Writes one small scene as each annotation tool writes it: two images, a car and a hidden part of it, and a tree.

`LABELS` is what each of them should become, with background 0, car 1 and tree 2.
"""

import json

import numpy as np

from helpers import fake_data

SIZE = (24, 32)
NAMES = ("background", "car", "tree")
SQUARES = {  # {image: [(class id, top, left, side)]}, in the order of the file
    "one": [(1, 4, 6, 8), (2, 8, 10, 10)],
    "two": [(2, 0, 0, 5)],
}


def expected(name):
    """Returns the labels (H, W) uint8 of an image."""
    labels = np.zeros(SIZE, np.uint8)
    for label, top, left, side in SQUARES[name]:
        labels[top : top + side, left : left + side] = label
    return labels


def corners(top, left, side):
    """Returns the four [x, y] of a square."""
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]


def images(folder):
    """Writes the two images, and returns nothing."""
    for i, name in enumerate(SQUARES):
        fake_data.save(fake_data.image(*SIZE, seed=i), folder / f"{name}.jpg")


def coco_values():
    """Returns the content of a COCO file; the first shape is a mask that is not compressed, the others polygons."""
    numbers = {name: number for number, name in enumerate(SQUARES, 7)}
    values = {
        "images": [
            {"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for name, number in numbers.items()
        ],
        "categories": [{"id": 18, "name": "tree"}, {"id": 3, "name": "car"}],
        "annotations": [],
    }
    for name, shapes in SQUARES.items():
        for label, *square in shapes:
            annotation = {"id": len(values["annotations"]), "image_id": numbers[name], "iscrowd": 0}
            flat = [value for corner in corners(*square) for value in corner]
            values["annotations"].append({**annotation, "category_id": {1: 3, 2: 18}[label], "segmentation": [flat]})
    values["annotations"][0]["segmentation"] = {"size": list(SIZE), "counts": _runs(SQUARES["one"][0], by_columns=True)}
    return values


def _runs(shape, by_columns):
    _label, top, left, side = shape
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + side, left : left + side] = 1
    flat = np.concatenate([[0], (mask.T if by_columns else mask).ravel(), [2]])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff([0, *edges]).tolist()


def coco(root):
    """COCO, with the images in a folder beside the file."""
    images(root / "images")
    write(root / "annotations" / "instances_default.json", coco_values())


def labelme(root):
    """labelme, which draws the outline, so that its polygons go through the middle of pixels; with labels.txt."""
    images(root)
    for name, squares in SQUARES.items():
        shapes = [
            {"label": NAMES[label], "shape_type": "polygon", "points": corners(top + 0.5, left + 0.5, side - 1)}
            for label, top, left, side in squares
        ]
        values = {"shapes": shapes, "imagePath": f"..\\photos\\{name}.jpg", "imageData": None}
        write(root / f"{name}.json", {**values, "imageHeight": SIZE[0], "imageWidth": SIZE[1]})
    (root / "labels.txt").write_text("__ignore__\n_background_\ncar\ntree\n")


def cvat(root):
    """CVAT for images 1.1: a mask, a polygon and a box; the later shape of the scene has the higher z order."""
    images(root / "images")
    (root / "annotations.xml").write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><labels>
    <label><name>car</name><color>#ff0000</color><attributes></attributes></label>
    <label><name>tree</name><color>#00ff00</color><attributes></attributes></label>
  </labels></job></meta>
  <image id="0" name="one.jpg" width="{SIZE[1]}" height="{SIZE[0]}">
    <polygon label="tree" occluded="0" points="10,8;20,8;20,18;10,18" z_order="2"></polygon>
    <mask label="car" rle="0, 64" left="6" top="4" width="8" height="8" z_order="1"></mask>
    <tag label="car"></tag>
  </image>
  <image id="1" name="two.jpg" width="{SIZE[1]}" height="{SIZE[0]}">
    <box label="tree" xtl="0" ytl="0" xbr="5" ybr="5" z_order="0"></box>
  </image>
</annotations>
"""
    )


def label_studio(root):
    """Label Studio: a polygon, a rectangle, and a label that is given apart from its polygon."""
    images(root / "images")
    tasks = []
    for number, (name, squares) in enumerate(SQUARES.items()):
        results = []
        for i, (label, *square) in enumerate(squares):
            common = {"id": f"r{i}", "original_height": SIZE[0], "original_width": SIZE[1], "image_rotation": 0}
            points = [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in corners(*square)]
            value = {"points": points, "closed": True, "polygonlabels": [NAMES[label]]}
            results.append({**common, "type": "polygonlabels", "value": value})
        tasks.append(
            {
                "id": number,
                "data": {"image": f"/data/upload/3/0a1b2c3d-{name}.jpg"},
                "annotations": [{"result": results}],
            }
        )
    top, left, side = SQUARES["two"][0][1:]
    box = {"x": 100 * left / SIZE[1], "y": 100 * top / SIZE[0], "width": 100 * side / SIZE[1], "rotation": 0}
    (result,) = tasks[1]["annotations"][0]["result"]
    value = {**box, "height": 100 * side / SIZE[0]}
    tasks[1]["annotations"][0]["result"] = [
        {**result, "type": "rectangle", "value": value},
        {**result, "type": "labels", "value": {"labels": ["tree"]}},
    ]
    write(root / "project.json", tasks)


def yolo(root):
    """YOLO with data.yaml."""
    images(root / "images" / "train")
    for name, squares in SQUARES.items():
        lines = [
            f"{label - 1} " + " ".join(f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in corners(*square))
            for label, *square in squares
        ]
        write(root / "labels" / "train" / f"{name}.txt", "\n".join(lines))
    (root / "data.yaml").write_text("path: ../datasets/x\ntrain: images/train\nnames:\n  0: car\n  1: tree\n")


def voc(root):
    """The layout of Pascal VOC with a palette and a list."""
    images(root / "JPEGImages")
    for name in SQUARES:
        fake_data.save(
            expected(name), root / "SegmentationClass" / f"{name}.png", palette=[0, 0, 0, 128, 0, 0, 0, 9, 9]
        )
    write(root / "ImageSets" / "Segmentation" / "train.txt", "one\ntwo\n")


def cvat_masks(root):
    """CVAT's segmentation mask 1.1."""
    images(root / "JPEGImages")
    colors = np.array([(0, 0, 0), (250, 50, 83), (5, 200, 9)], np.uint8)
    for name in SQUARES:
        fake_data.save(colors[expected(name)], root / "SegmentationClass" / f"{name}.png")
    lines = [f"{name}:{','.join(map(str, color))}::" for name, color in zip(NAMES, colors.tolist(), strict=True)]
    write(root / "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", *lines, ""]))
    write(root / "ImageSets" / "Segmentation" / "default.txt", "one\ntwo\n")


def roboflow_masks(root):
    """Roboflow's masks with _classes.csv."""
    images(root / "train")
    for name in SQUARES:
        fake_data.save(expected(name), root / "train" / f"{name}_mask.png")
    write(root / "train" / "_classes.csv", "Pixel Value, Class\n0, background\n1, car\n2, tree\n")


def write(path, values):
    """Writes text, or values as JSON; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(values if isinstance(values, str) else json.dumps(values), "utf-8")


DRAWN = {"coco": coco, "labelme": labelme, "cvat": cvat, "label_studio": label_studio, "yolo": yolo}
MASKS = {"voc": voc, "cvat": cvat_masks, "roboflow_masks": roboflow_masks}
