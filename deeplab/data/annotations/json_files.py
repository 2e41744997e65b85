"""Reads the JSON files and lists of points of annotation tools; every error is one line that names file and line."""

import codecs
import json

import numpy as np

from deeplab.errors import UserError
from deeplab.files import paths

FURTHEST = 1e6  # pixels from the corner of an image at which a coordinate is a mistake
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def text(path):
    """Returns the content of a text file in UTF-8, without a byte order mark.

    Raises:
      UserError: the file cannot be read or has another encoding.
    """
    try:
        content = paths.read_regular(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if content.startswith(_WIDE) or b"\x00" in content[:4]:
        raise UserError(f"{path}: is UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: line {line}: is not UTF-8; save the file as UTF-8") from None


def read(path):
    """Returns the value of a JSON file; raises a UserError that names the file and the line."""
    content = text(path)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{path}: {where}: is not JSON ({error.msg}); export it again") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not JSON that can be read ({error}); export it again") from None


def entries(values, key, path):
    """Returns the list of objects that `values`, an object of the file `path`, has under a key.

    Raises:
      UserError: there is none, or it holds something else.
    """
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UserError(f"{path}: {key!r} is no list of objects; export it again")
    return found


def points(values, where):
    """Returns an array (N, 2) of x and y from a list of pairs, or of numbers x, y, x, y.

    Raises:
      UserError: they are no pairs of numbers, or no coordinates that an image has; the message begins with `where`.
    """
    try:
        array = np.asarray(values, float)
        array = array.reshape(-1, 2) if array.ndim < 2 else array
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(1)
    if array.ndim != 2 or array.shape[1] != 2:
        raise UserError(f"{where}: expected pairs of numbers x, y")
    if not (np.abs(array) <= FURTHEST).all():  # NaN, too
        bad = array[~(np.abs(array) <= FURTHEST)][0]
        raise UserError(f"{where}: the coordinate {bad:g} lies in no image")
    return array


def size(height, width, where):
    """Returns (height, width) as integers; raises a UserError that begins with `where` if they are no sizes."""
    try:
        values = int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        values = (0, 0)
    if min(values) < 1:
        raise UserError(f"{where}: height {height!r} and width {width!r} are no size of an image")
    return values


def number(value, where):
    """Returns a finite number; raises a UserError that begins with `where` if `value` is none."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = np.nan
    if not np.isfinite(result):
        raise UserError(f"{where}: {value!r} is no number")
    return result
