"""Pictures of labels: colours, overlays, panels with a legend; and how pictures are saved.

Images are (H, W, 3) uint8, labels are class ids (H, W), colour maps are (256, 3) uint8.
"""

import io
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab.files import atomic, escaping

BACKGROUND, INK, FAINT = (255, 255, 255), (32, 32, 32), (120, 120, 120)
NOT_LABELLED = (224, 224, 224)  # colour of pixels whose label is to be ignored
MARGIN = 8  # pixels between and around the pictures of a panel
TITLE_SIZE, LEGEND_SIZE = 15, 13  # height of the letters
LARGEST_SIDE = 1024  # pixels; larger pictures are shrunk before they enter a panel
_ERROR_COLORS = ((70, 75, 80), (226, 54, 54), (255, 255, 255))  # of right, wrong and ignored pixels
OVERLAY_OPACITY = 0.6
# Black is the colour of the background in most data sets. It is laid on with half of the opacity, since the image would
# become too dark to see.
BLACK_OPACITY = 0.5


def colorize(labels, colors):
    """Returns the picture (H, W, 3) uint8 that shows every label in its colour."""
    picture = Image.fromarray(np.asarray(labels).astype(np.uint8))
    picture.putpalette(np.asarray(colors, np.uint8).tobytes())
    return np.asarray(picture.convert("RGB"))  # five times as quick as indexing with NumPy


def overlay(image, labels, colors, opacity=OVERLAY_OPACITY):
    """Returns the image with the colours of the labels laid over it, and a white line where two segments meet."""
    kept, laid = _weights(colors, opacity)
    ids = np.asarray(labels).astype(np.uint8)
    places = ids.astype(np.intp)  # NumPy would convert ids in each of the look-ups
    kept, mixed = kept.take(places), np.empty(image.shape, np.uint8)
    for channel in range(3):  # arrays whose last side is 3 take three times as long
        values = image[..., channel] * kept
        values += laid[:, channel].take(places)
        values >>= 8
        mixed[..., channel] = values
    mixed[boundaries(labels)] = 255
    return mixed


def _weights(colors, opacity):
    """Returns what the grey values of an image are multiplied by, (256,), and what is added, (256, 3), for each label.

    Both are uint16 in units of 1/256, because 16 bit integers are several times quicker than floats.
    """
    colors = np.asarray(colors, np.float32)
    strength = np.where(colors.any(axis=-1), opacity, BLACK_OPACITY * opacity)
    kept = (256 * (1 - strength)).round()
    laid = (256 - kept)[:, None] * colors + 128  # 128 rounds
    return kept.astype(np.uint16), laid.astype(np.uint16)


def with_ignore_color(colors, ignore_label, num_classes):
    """Returns the colour map with a light grey for the ignore label, unless a class has this number."""
    colors = np.array(colors, np.uint8)
    if ignore_label >= num_classes:
        colors[ignore_label] = NOT_LABELLED
    return colors


def boundaries(labels):
    """Returns (H, W) bool: True for pixels whose right or lower neighbour has another label."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def error_map(labels, predictions, ignore_label):
    """Returns a picture (H, W, 3) uint8: right pixels are dark grey, wrong pixels red, ignored pixels white."""
    kinds = np.where(labels == ignore_label, len(_ERROR_COLORS) - 1, labels != predictions)
    return colorize(kinds, _ERROR_COLORS)


def panel(titled_pictures, entries):
    """Puts pictures side by side, with a title over each and a legend below all.

    Args:
      titled_pictures: list of (title, (H, W, 3) uint8); all pictures have one size.
      entries: list of (name, (r, g, b)) for the legend.

    Returns:
      The panel, (h, w, 3) uint8; its size depends on the pictures and on the legend.
    """
    shrunk = [(title, _shrink(picture)) for title, picture in titled_pictures]
    height, width = shrunk[0][1].shape[:2]
    title_font, legend_font = font(TITLE_SIZE), font(LEGEND_SIZE)
    head = TITLE_SIZE + 2 * MARGIN
    total = len(shrunk) * (width + MARGIN) + MARGIN
    rows = _rows(entries, legend_font, total - 2 * MARGIN)
    line = LEGEND_SIZE + MARGIN
    titles = Image.new("RGB", (total, head), BACKGROUND)
    below = Image.new("RGB", (total, MARGIN + len(rows) * line + MARGIN), BACKGROUND)
    # Pillow draws the texts alone, since converting whole panels to its images and back takes long.
    canvas = np.full((head + height + below.height, total, 3), BACKGROUND[0], np.uint8)  # all channels are equal
    draw = ImageDraw.Draw(titles)
    for column, (title, picture) in enumerate(shrunk):
        left = MARGIN + column * (width + MARGIN)
        draw.text((left, head / 2), title, INK, title_font, anchor="lm")
        canvas[head : head + height, left : left + width] = picture
    draw = ImageDraw.Draw(below)
    for number, row in enumerate(rows):
        _draw_row(draw, row, legend_font, MARGIN + number * line)
    canvas[:head], canvas[head + height :] = titles, below
    return canvas


def legend(labels, class_names, colors, ignore_label=None):
    """Returns the legend of a `panel`: (name, colour) of every class that occurs in one of the arrays `labels`."""
    present = np.flatnonzero(sum(np.bincount(array.reshape(-1), minlength=256) for array in labels))
    entries = [(escaping.terminal(class_names[i]), tuple(map(int, colors[i]))) for i in present if i < len(class_names)]
    if ignore_label is not None and ignore_label in present and ignore_label >= len(class_names):
        entries.append(("not labelled", tuple(map(int, colors[ignore_label]))))
    return entries


def save_png(path, picture, palette=None):
    """Writes a picture or class ids as a PNG, which is there whole or not at all.

    Args:
      path: where the PNG goes; may be gs://.
      picture: (H, W, 3) uint8, or ids (H, W), which are written with 16 bits if one of them is above 255.
      palette: (256, 3) uint8 or None. Viewers show ids in these colours; the ids themselves stay the same. A PNG with
        ids above 255 has no palette.
    """
    atomic.write(path, png_of(picture, palette))


def png_of(picture, palette=None):
    """Returns the bytes of the PNG file that `save_png` writes."""
    picture = np.asarray(picture)
    if picture.ndim == 2:
        picture = picture.astype(np.uint16 if picture.max(initial=0) > 255 else np.uint8)
    image, buffer = Image.fromarray(picture), io.BytesIO()
    if palette is not None and picture.dtype == np.uint8:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    # Looking for anything but runs of equal bytes takes long and makes files hardly smaller. The network waits for it.
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _shrink(picture):
    """Returns a picture (H, W, 3) uint8, made smaller if a side is longer than LARGEST_SIDE."""
    height, width = picture.shape[:2]
    factor = LARGEST_SIDE / max(height, width)
    if factor >= 1:
        return picture
    size = [max(1, round(side * factor)) for side in (width, height)]
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _rows(entries, letters, width):
    """Breaks the legend into rows that are no wider than `width` pixels, with columns that are all equally wide.

    Returns:
      For every row a list of (name, colour, pixels from the left).
    """
    if not entries:
        return []
    cell = max(letters.getlength(name) for name, _color in entries) + LEGEND_SIZE + 3 * MARGIN
    columns = max(1, int(width // cell))
    return [
        [(name, color, MARGIN + column * cell) for column, (name, color) in enumerate(entries[start : start + columns])]
        for start in range(0, len(entries), columns)
    ]


def _draw_row(draw, row, letters, top):
    for name, color, left in row:
        draw.rectangle((left, top, left + LEGEND_SIZE, top + LEGEND_SIZE), fill=color, outline=FAINT)
        draw.text((left + LEGEND_SIZE + MARGIN, top + LEGEND_SIZE / 2), name, INK, letters, anchor="lm")


def font(size):
    """Returns the font that Pillow brings along, with letters of height `size`."""
    return ImageFont.load_default(size)
