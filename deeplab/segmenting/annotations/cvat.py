"""CVAT for images 1.1: one XML file. Shapes with holes are masks, which have them; all others are polygons.

Source: https://docs.cvat.ai/docs/other/xml_format.
"""

from xml.sax import saxutils

from deeplab.files import escaping

FILE = "cvat/annotations.xml"


def write(file, annotated, categories):
    """Writes the file; arguments as in `coco.write`."""
    file('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task><labels>\n')
    for category in categories:
        color = "#{:02x}{:02x}{:02x}".format(*category.color)
        file(f"<label><name>{_text(category.name)}</name><color>{color}</color><attributes></attributes></label>\n")
    file("</labels></task></meta>\n")
    names = {category.label: category.name for category in categories}
    for number, one in enumerate(annotated):
        height, width = one.size
        file(_tag("image", id=number, name=one.image, width=width, height=height) + ">\n")
        for shape in one.shapes:
            file(_shape(names[shape.label], shape) + "/>\n")
        file("</image>\n")
    file("</annotations>\n")


def _shape(name, shape):
    fixed = {"label": name, "source": "auto", "occluded": 0, "z_order": 0}
    if shape.mask is None:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in shape.rings[0])
        return _tag("polygon", **fixed, points=points)
    box = {side: getattr(shape.mask, side) for side in ("left", "top", "width", "height")}
    return _tag("mask", **fixed, rle=", ".join(map(str, shape.mask.counts)), **box)


def _tag(tag, **attributes):
    """Returns the beginning of a tag, without its end."""
    return f"<{tag}" + "".join(f" {key}={_quoted(value)}" for key, value in attributes.items())


def _text(text):
    return saxutils.escape(escaping.terminal(text))  # XML has no control characters, not even escaped


def _quoted(value):
    return saxutils.quoteattr(escaping.terminal(value))
