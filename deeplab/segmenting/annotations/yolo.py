"""YOLO segmentation: one text file for each image, and data.yaml with the names. Holes are cut open by a seam.

A line is the number of the class and the points as shares of width and height. Classes are numbered from 0 without
gaps, as the format asks for. Source: https://docs.ultralytics.com/datasets/segment.
"""

import json

FOLDER = "yolo/labels"
ENDING = ".txt"
NAMES = "yolo/data.yaml"


def text(one, categories):
    """Returns the content of the file of a `parts.Annotated`; `categories`: list of `parts.Category`."""
    numbers = {category.label: number for number, category in enumerate(categories)}
    height, width = one.size
    lines = []
    for shape in one.shapes:
        points = (shape.ring() / (width, height)).reshape(-1)
        lines.append(f"{numbers[shape.label]} " + " ".join(f"{value:.6f}" for value in points))
    return "".join(f"{line}\n" for line in lines)


def names(categories):
    """Returns the content of data.yaml, for images in a folder `images` beside `labels`."""
    lines = [
        f"  {number}: {json.dumps(category.name, ensure_ascii=False)}\n" for number, category in enumerate(categories)
    ]
    return "path: .\ntrain: images\nval: images\nnames:\n" + "".join(lines)
