"""Label Studio: tasks with predictions, which it shows as pre-annotations, and the interface to label them with.

Shapes with holes are brush strokes, which have them; all others are polygons. Source: https://labelstud.io/guide/predictions,
https://labelstud.io/tags/brushlabels.
"""

import itertools
import json
from urllib import parse
from xml.sax import saxutils

import numpy as np

from deeplab.files import escaping

FILE = "label-studio/tasks.json"
INTERFACE = "label-studio/labeling_interface.xml"
_LOCAL_FILES = "/data/local-files/?d="  # what Label Studio reads below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
_WORD_BITS, _CHANNELS = 8, 4  # strokes are pictures of four channels, RGBA
_RUN_BITS = (4, 8, 16, 16)  # sizes that the length of a run may have


def write(file, annotated, categories):
    """Writes the tasks; arguments as in `coco.write`."""
    names = {category.label: category.name for category in categories}
    file("[")
    for number, one in enumerate(annotated):
        found = [_region(f"{number}-{i}", shape, names[shape.label], one.size) for i, shape in enumerate(one.shapes)]
        image = one.image if "://" in one.image else _LOCAL_FILES + parse.quote(one.image)
        task = {"data": {"image": image}, "predictions": [{"model_version": "deeplab", "result": found}]}
        file((",\n" if number else "\n") + json.dumps(task))
    file("]\n")


def interface(categories):
    """Returns the labelling interface for these tasks, which is pasted into the settings of a project."""
    labels = "".join(
        f"    <Label value={saxutils.quoteattr(escaping.terminal(category.name))} "
        f'background="#{"".join(f"{value:02x}" for value in category.color)}"/>\n'
        for category in categories
    )
    kinds = "".join(
        f'  <{kind}Labels name="{kind.lower()}" toName="image">\n{labels}  </{kind}Labels>\n' for kind in _KINDS
    )
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{kinds}</View>\n'


_KINDS = ("Polygon", "Brush")


def _region(number, shape, name, size):
    height, width = size
    if shape.mask is None:
        kind, value = "polygon", {"points": (shape.rings[0] * 100 / (width, height)).round(4).tolist(), "closed": True}
    else:
        kind, value = "brush", {"format": "rle", "rle": encoded(_runs(shape.mask, width, height)).tolist()}
    return {
        "id": number,
        "from_name": kind,
        "to_name": "image",
        "type": f"{kind}labels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [name]},
    }


def _runs(mask, width, height):
    """Returns the lengths of the runs of the whole image that are outside and inside of a `shapes.Mask` in turn."""
    inside = np.repeat(np.arange(len(mask.counts)) % 2, mask.counts).reshape(mask.height, mask.width)
    whole = np.zeros((height, width), np.int8)
    whole[mask.top : mask.top + mask.height, mask.left : mask.left + mask.width] = inside
    flat = whole.reshape(-1)
    ends = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[-1], ends, [flat.size - 1]]))
    return lengths if not flat[0] else np.concatenate([[0], lengths])


def encoded(runs):
    """Returns the bytes, an array of uint8, of a brush stroke in Label Studio's run lengths.

    The bits are: the number of values (32), the bits of a value less one (5), the four sizes of lengths less one (4
    each), and for each run a 1, the number of its size (2), its length less one, and its value, 0 or 255 (8). Every
    pixel has four equal values. Source: the package rle-pack of thi.ng/umbrella.

    Args:
      runs: lengths in pixels of the runs that are outside and inside in turn, beginning outside.
    """
    bits = [f"{int(sum(runs)) * _CHANNELS:032b}{_WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _RUN_BITS)]
    for length, value in zip(map(int, runs), itertools.cycle((0, 255)), strict=False):
        left = length * _CHANNELS
        while left:
            now = min(left, 1 << _RUN_BITS[-1])
            place = next(i for i, size in enumerate(_RUN_BITS) if now <= 1 << size)
            bits.append(f"1{place:02b}{now - 1:0{_RUN_BITS[place]}b}{value:08b}")
            left -= now
    digits = np.frombuffer("".join(bits).encode(), np.uint8) - ord("0")
    return np.packbits(digits)
