"""labelme: one JSON file for each image, with the path of the image. Holes are cut open by a seam, as it has none.

Source: https://github.com/wkentaro/labelme.
"""

import json
import posixpath

FOLDER = "labelme"
LABELS = "labelme/labels.txt"
ENDING = ".json"
_VERSION = "5.5.0"  # of labelme, whose files these are


def text(one, categories):
    """Returns the content of the file of a `parts.Annotated`; `categories`: list of `parts.Category`."""
    names = {category.label: category.name for category in categories}
    height, width = one.size
    up = "../" * (1 + one.name.count("/"))
    content = {
        "version": _VERSION,
        "flags": {},
        "shapes": [_shape(names[shape.label], shape.ring()) for shape in one.shapes],
        "imagePath": one.path if "://" in one.path else posixpath.normpath(up + one.path),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return json.dumps(content, indent=1) + "\n"


def labels(categories, has_background):
    """Returns the content of labels.txt, which labelme takes as --labels: the names in order, after its own words."""
    own = ["__ignore__", *(["_background_"] if has_background else [])]
    return "".join(f"{name}\n" for name in [*own, *(category.name for category in categories)])


def _shape(name, ring):
    fixed = {"group_id": None, "description": "", "shape_type": "polygon", "flags": {}, "mask": None}
    return {"label": name, "points": ring.round(2).tolist(), **fixed}
