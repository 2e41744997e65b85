"""Pictures of labels: colours, overlays, panels with a legend, plots of scores.

Images are (H, W, 3) uint8, labels (H, W) class ids, colour maps (256, 3) uint8.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab.files import atomic

BACKGROUND, INK, FAINT = (255, 255, 255), (32, 32, 32), (120, 120, 120)
VOID = (224, 224, 224)  # of pixels without label
MARGIN = 8  # pixels between and around the tiles of a panel
TITLE_SIZE, LEGEND_SIZE = 15, 13  # points of the letters
LARGEST_SIDE = 1024  # tiles of a panel are shrunk to this
OVERLAY_OPACITY = 0.6
BLACK_OPACITY = 0.5  # black, mostly the background, is laid on with this part of the opacity


def colorize(labels, colors):
    """Returns labels (H, W) as an image (H, W, 3) uint8."""
    return np.asarray(colors, np.uint8)[np.asarray(labels).astype(np.uint8)]


def overlay(image, labels, colors, opacity=OVERLAY_OPACITY):
    """Returns the image with the labels' colours laid over it and lines in white where segments meet."""
    colors = np.asarray(colors, np.float32)
    strength = np.where(colors.any(axis=-1), opacity, BLACK_OPACITY * opacity)
    kept = (256 * (1 - strength)).round()[:, None]  # of 256: 16 bit integers are several times quicker than floats
    laid = (256 - kept) * colors + 128
    ids = np.asarray(labels).astype(np.uint8)
    mixed = ((image * kept.astype(np.uint16)[ids] + laid.astype(np.uint16)[ids]) >> 8).astype(np.uint8)
    mixed[boundaries(labels)] = 255
    return mixed


def with_void(colors, ignore_label, num_classes):
    """Returns the colour map with a light grey for an ignore label that is not a class."""
    colors = np.array(colors, np.uint8)
    if ignore_label >= num_classes:
        colors[ignore_label] = VOID
    return colors


def boundaries(labels):
    """Returns (H, W) bool: pixels whose right or lower neighbour has another label."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def error_map(labels, predictions, ignore_label):
    """Returns an image: right pixels dark grey, wrong ones red, ignored ones white."""
    picture = np.full((*labels.shape, 3), (70, 75, 80), np.uint8)
    picture[labels != predictions] = (226, 54, 54)
    picture[labels == ignore_label] = (255, 255, 255)
    return picture


def panel(tiles, entries):
    """Puts pictures side by side, a title over each and a legend below.

    Args:
      tiles: list of (title, (H, W, 3) uint8), all of one size.
      entries: list of (name, (r, g, b)) for the legend.

    Returns:
      (h, w, 3) uint8.
    """
    pictures = [(title, _shrink(Image.fromarray(picture))) for title, picture in tiles]
    width, height = pictures[0][1].size
    title_font, legend_font = font(TITLE_SIZE), font(LEGEND_SIZE)
    head = TITLE_SIZE + 2 * MARGIN
    total = len(pictures) * (width + MARGIN) + MARGIN
    rows = _rows(entries, legend_font, total - 2 * MARGIN)
    line = LEGEND_SIZE + MARGIN
    canvas = Image.new("RGB", (total, head + height + MARGIN + len(rows) * line + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for column, (title, picture) in enumerate(pictures):
        left = MARGIN + column * (width + MARGIN)
        draw.text((left, head / 2), title, INK, title_font, anchor="lm")
        canvas.paste(picture, (left, head))
    for number, row in enumerate(rows):
        _draw_row(draw, row, legend_font, head + height + MARGIN + number * line)
    return np.asarray(canvas)


def legend(labels, class_names, colors, ignore_label=None):
    """Returns [(name, colour)] of the classes that occur in the arrays `labels`, for `panel`."""
    present = np.unique(np.concatenate([np.unique(array) for array in labels]))
    entries = [(class_names[i], tuple(map(int, colors[i]))) for i in present if i < len(class_names)]
    if ignore_label is not None and ignore_label in present and ignore_label >= len(class_names):
        entries.append(("not labelled", tuple(map(int, colors[ignore_label]))))
    return entries


def save_png(path, picture, palette=None):
    """Writes (H, W, 3) uint8 or ids (H, W) as a PNG in one piece; ids above 255 as 16 bit. The path may be gs://.

    With a `palette` (256, 3) uint8, ids are shown in its colours; their values are the same.
    """
    picture = np.asarray(picture)
    if picture.ndim == 2:
        picture = picture.astype(np.uint16 if picture.max(initial=0) > 255 else np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(buffer, "PNG", compress_level=1 if picture.ndim == 3 else 6)  # photographs hardly shrink, but take long
    atomic.write(path, buffer.getvalue())


def _shrink(picture):
    factor = LARGEST_SIDE / max(picture.size)
    if factor >= 1:
        return picture
    return picture.resize([max(1, round(side * factor)) for side in picture.size], Image.Resampling.LANCZOS)


def _rows(entries, font, width):
    """Breaks legend entries into rows no wider than `width` pixels, in columns of one width."""
    if not entries:
        return []
    cell = max(font.getlength(name) for name, _color in entries) + LEGEND_SIZE + 3 * MARGIN
    columns = max(1, int(width // cell))
    return [
        [(name, color, MARGIN + column * cell) for column, (name, color) in enumerate(entries[start : start + columns])]
        for start in range(0, len(entries), columns)
    ]


def _draw_row(draw, row, font, top):
    for name, color, left in row:
        draw.rectangle((left, top, left + LEGEND_SIZE, top + LEGEND_SIZE), fill=color, outline=FAINT)
        draw.text((left + LEGEND_SIZE + MARGIN, top + LEGEND_SIZE / 2), name, INK, font, anchor="lm")


def font(size):
    """Returns Pillow's own letters, `size` points high."""
    return ImageFont.load_default(size)
