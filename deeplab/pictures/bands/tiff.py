"""Reads TIFFs of any number of bands and any depth, with tifffile; Pillow reads few of them.

tifffile brings deflate, PackBits and no compression. LZW, which GDAL and ImageJ write, is decoded by Pillow's libtiff.
"""

import io
import logging
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

from deeplab.errors import UserError, not_installed, one_line

BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFFs
_ORIENTATION, _EXTRA_SAMPLES = 274, 338  # tags
_UNASSOCIATED, _ASSOCIATED = 2, 1  # values of _EXTRA_SAMPLES that mean alpha; 0 is a band without a meaning
_LZW, _OF_FLOATS = 5, 3  # a compression and a predictor


class Layout(NamedTuple):
    """What a TIFF says about itself.

    Attributes:
      height, width: pixels, as they are stored.
      bands: bands of all pages that have the size and the type of the first one.
      samples: bands of the first page.
      alpha: number of the band that is alpha, from 1; 0 without one.
      kind: NumPy's name of the type of the values, such as "uint16".
      colours: whether the first three bands are red, green and blue.
      orientation: as in EXIF, 1 to 8.
    """

    height: int
    width: int
    bands: int
    samples: int
    alpha: int
    kind: str
    colours: bool
    orientation: int


def is_tiff(content):
    """Tells whether bytes begin as a TIFF."""
    return content[:4] in BEGINNINGS


def layout(content):
    """Returns the `Layout` of the bytes of a TIFF.

    Raises:
      UserError: it is damaged.
    """
    with _opened(content) as file:
        return _layout(_pages(file))


def read(content, check=lambda found: None):
    """Returns (`Layout`, pixels (H, W, bands) as they are stored) of the bytes of a TIFF.

    Args:
      content: the bytes.
      check: function of the `Layout`, which raises a UserError to refuse the file before it is decoded.

    Raises:
      UserError: it is damaged, or compressed by something else than LZW, deflate and PackBits.
    """
    with _opened(content) as file:
        pages = _pages(file)
        found = _layout(pages)
        check(found)
        return found, np.concatenate([_pixels(page) for page in pages], axis=-1)


class _opened:
    """Opens a TIFF for a `with`; errors of tifffile inside become a UserError."""

    def __init__(self, content):
        self._content = content

    def __enter__(self):
        tifffile = _tifffile()
        try:
            self._file = tifffile.TiffFile(io.BytesIO(self._content))
        except Exception as error:  # damaged bytes make it raise errors of any type
            raise _damaged(error) from None
        return self._file

    def __exit__(self, kind, error, traceback):
        self._file.close()
        if error is not None and not isinstance(error, (UserError, MemoryError)) and isinstance(error, Exception):
            raise _damaged(error) from None


def _damaged(error):
    return UserError(f"a TIFF that is damaged or of an unknown kind ({one_line(error, 160) or type(error).__name__})")


def _tifffile():
    try:
        import tifffile
    except ImportError as error:
        raise not_installed("TIFFs of many bands, of more than 8 bits or of floats need", error, ["tifffile"]) from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is an error here
    codecs = tifffile.TIFF.DECOMPRESSORS
    if _LZW not in codecs and hasattr(codecs, "_codecs"):
        codecs._codecs[_LZW] = _lzw
    return tifffile


def _pages(file):
    """Returns the pages of an opened TIFF whose size and type are those of the first one; others are previews."""
    first = file.pages[0]
    if len(first.shape) not in (2, 3) or any(axis not in "YXS" for axis in first.axes):
        raise UserError(f"a TIFF with the axes {first.axes}: expected rows, columns and bands")
    alike = [
        page for page in file.pages if (page.shape, page.dtype, page.axes) == (first.shape, first.dtype, first.axes)
    ]
    return alike


def _layout(pages):
    first = pages[0]
    extra = tuple(int(value) for value in first.extrasamples or ())
    samples = first.shape[first.axes.index("S")] if "S" in first.axes else 1
    alphas = [place for place, value in enumerate(extra) if value in (_UNASSOCIATED, _ASSOCIATED)]
    tag = first.tags.get(_ORIENTATION)
    orientation = tag.value if tag is not None and tag.value in range(1, 9) else 1
    return Layout(
        height=first.shape[first.axes.index("Y")],
        width=first.shape[first.axes.index("X")],
        bands=samples * len(pages),
        samples=samples,
        alpha=samples - len(extra) + alphas[0] + 1 if alphas else 0,
        kind=np.dtype(first.dtype).name if first.dtype is not None else "unknown",
        colours=int(first.photometric) == 2,
        orientation=orientation,
    )


def _pixels(page):
    """Returns the pixels (H, W, bands) of a page."""
    codecs = _tifffile().TIFF.DECOMPRESSORS
    if int(page.compression) not in codecs:
        name = getattr(page.compression, "name", str(page.compression)).lower()
        raise UserError(
            f"a TIFF compressed by {name}; save it with deflate, LZW or without compression, e.g. gdal_translate -co "
            "COMPRESS=DEFLATE IN OUT"
        )
    if int(page.predictor) == _OF_FLOATS and int(page.predictor) not in _tifffile().TIFF.UNPREDICTORS:
        raise UserError("a TIFF with the predictor for floats (PREDICTOR=3); save it with PREDICTOR=1 or 2")
    pixels = page.asarray()
    if "S" not in page.axes:
        return pixels[..., None]
    return np.moveaxis(pixels, page.axes.index("S"), -1)


def _lzw(data, out=None, **_options):
    """Returns the bytes of a strip or tile that is compressed by LZW, which become `out` bytes.

    Pillow decodes them as the only strip of a grey TIFF of one row. An LZW of the time before TIFF 6, with its bits in
    another order, is none that it takes.
    """
    size = int(out)
    entries = (
        *((256, size), (257, 1), (258, 8), (259, _LZW), (262, 1)),  # width, height, bits, compression, black is 0
        *((273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 1), (279, len(data))),  # offset, bands, rows, bytes of the strip
    )
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0)
    with Image.open(io.BytesIO(header + bytes(data)), formats=("TIFF",)) as picture:
        return picture.tobytes()
