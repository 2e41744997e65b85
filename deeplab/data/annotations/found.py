"""What the readers of annotations return: images with their labels, the classes, and what is to be told of them."""

import base64
import binascii
import collections
import dataclasses
from typing import NamedTuple

from deeplab.data.annotations import json_files
from deeplab.errors import UserError


class Options(NamedTuple):
    """What the user says about how annotations are read."""

    class_names: tuple[str, ...] = ()  # classes in order, background first; (): as the source has them
    on_top: str = "file"  # see `drawing.draw`
    image_dirs: tuple[str, ...] = ()  # further folders in which images are looked for


@dataclasses.dataclass(frozen=True)
class Found:
    """The annotations of a folder.

    Attributes:
      format: name of the format, as --format has it.
      images: {name: path of the image, an `Embedded` one, or None where it is missing}. A name that begins with train/,
        val/ or test/ says that the source has this split.
      labels: {name: `shapes.Drawing`, or path of a label file}.
      class_names: names in the order of the class ids, background first unless the source has it elsewhere.
      colors: (R, G, B) of each class, () where the source has none.
      source_ids: the id that each class has in the source, None for a class that it does not list; () without ids.
      notes: whole lines about what was joined, left out or odd.
    """

    format: str
    images: dict
    labels: dict
    class_names: tuple
    colors: tuple = ()
    source_ids: tuple = ()
    notes: tuple[str, ...] = ()


class Embedded(NamedTuple):
    """An image inside a labelme file. It stands in place of the path of an image file in a `listing.Pair`."""

    path: str

    def __str__(self):
        return f"{self.path} (imageData)"

    def read(self):
        """Returns the bytes of the image; raises a UserError if they are no base64."""
        values = json_files.read(self.path)
        try:
            return base64.b64decode(values["imageData"], validate=True)
        except (binascii.Error, KeyError, TypeError, ValueError) as error:
            raise UserError(f"its imageData is not base64 ({error})") from None


class Notes:
    """Counts what is odd in a source, and remembers where each kind of it was first."""

    def __init__(self):
        self.counts, self.first = collections.Counter(), {}

    def add(self, what, where=""):
        """Counts one thing more; `what` follows a number in the line about it, `where` names the place."""
        self.many(1, what, where)

    def many(self, count, what, where=""):
        """Counts several things more, as `add` does; nothing if `count` is 0."""
        if count:
            self.counts[what] += count
            self.first.setdefault(what, where)

    def lines(self):
        """Returns a line for each kind of thing, as a tuple."""
        ends = {what: f" (first: {where})" if where else "" for what, where in self.first.items()}
        return tuple(f"{count} {what}{ends[what]}" for what, count in self.counts.items())
