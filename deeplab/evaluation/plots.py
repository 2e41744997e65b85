"""Plots of scores: a confusion matrix, and curves. Drawn with Pillow as (H, W, 3) uint8 pictures.

A plotting library would draw them, too, but it would be one more dependency to install.
"""

import csv
import io

import numpy as np
from PIL import Image, ImageDraw

from deeplab.pictures.drawing import BACKGROUND, FAINT, INK, font

# All sizes are in pixels.
LETTERS, MARGIN = 12, 12
CELL_WITH_NUMBER, SMALL_CELL = 40, 14  # sides of the cells of a confusion matrix
LARGEST_WITH_NUMBERS = 24  # number of classes; with more, cells are too small for numbers
SMALL_LETTERS = 10  # names of classes beside small cells
LONGEST_NAME = 240  # longer names are cut, and end in dots
PLOT_SIZE = (640, 400)  # width, height of the area that holds the curves
LEFT = 70  # room for the numbers at the left of the curves
LEGEND_LINE, SWATCH = 20, 24  # height of a line of the legend, length of the line that shows the colour
SERIES = ((31, 90, 160), (214, 96, 20), (30, 140, 80), (150, 50, 140), (190, 40, 50), (90, 90, 90))
GRID = (228, 228, 228)
CAPTION = "rows: label, columns: prediction, in % of the label's pixels"


def confusion(counts, names):
    """Draws a confusion matrix. Each row sums to 100 %, and a cell is the bluer the larger its share of the row is.

    Args:
      counts: (K, K) int, rows are labels.
      names: K class names.
    """
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    numbers = len(names) <= LARGEST_WITH_NUMBERS
    cell = CELL_WITH_NUMBER if numbers else SMALL_CELL
    letters = font(LETTERS if numbers else SMALL_LETTERS)
    names = [_shortened(name, letters) for name in names]
    left = round(max(letters.getlength(name) for name in names)) + 2 * MARGIN
    side = cell * len(names)
    width = left + max(side, round(font(LETTERS).getlength(CAPTION)) - left + MARGIN)
    canvas = Image.new("RGB", (width + MARGIN, left + side + 3 * MARGIN), BACKGROUND)
    colors = (255 * (1 - share[..., None]) + np.array(SERIES[0]) * share[..., None]).astype(np.uint8)
    canvas.paste(Image.fromarray(colors).resize((side, side), Image.Resampling.NEAREST), (left, left))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left - 1, left - 1, left + side, left + side), outline=FAINT)
    draw.text((MARGIN, left + side + MARGIN), CAPTION, FAINT, font(LETTERS))
    for i, name in enumerate(names):
        middle = left + (i + 0.5) * cell
        draw.text((left - MARGIN / 2, middle), name, INK, letters, anchor="rm")
        _draw_upright(canvas, name, (middle, left - MARGIN / 2), letters)
        for j in range(len(names) if numbers else 0):
            percent = 100 * share[i, j]
            if percent >= 0.5:
                color = BACKGROUND if percent > 50 else INK
                draw.text((left + (j + 0.5) * cell, middle), f"{percent:.0f}", color, letters, anchor="mm")
    return np.asarray(canvas)


def lines(series, x_title, y_title):
    """Draws curves, with a legend above them.

    Args:
      series: {name: {x: y}}; points whose y is NaN are left out. A curve whose name is "" has no entry in the legend.
      x_title, y_title: what the axes show.
    """
    points = {name: [(x, y) for x, y in curve.items() if not np.isnan(y)] for name, curve in series.items()}
    every = [point for curve in points.values() for point in curve] or [(0, 0), (1, 1)]
    x_ticks, y_ticks = (_ticks([point[axis] for point in every]) for axis in (0, 1))
    letters, (width, height) = font(LETTERS), PLOT_SIZE
    entries = _legend_places([name for name in points if name], letters, width)
    top = 40 + LEGEND_LINE * (1 + max((row for row, _left, _text in entries.values()), default=-1))
    canvas = Image.new("RGB", (LEFT + width + 2 * MARGIN, top + height + 60), BACKGROUND)
    draw = ImageDraw.Draw(canvas)

    def place(x, y):
        across, up = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]), (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * width, top + (1 - up) * height

    _draw_grid(draw, place, x_ticks, y_ticks, letters)
    draw.text((LEFT + width / 2, top + height + 42), x_title, INK, letters, anchor="mm")
    draw.text((MARGIN, top - MARGIN), y_title, INK, letters, anchor="lb")
    for number, (name, curve) in enumerate(points.items()):
        color = SERIES[number % len(SERIES)]
        placed = [place(*point) for point in curve]
        draw.line(placed, color, width=2)
        if name:
            row, left, text = entries[name]
            middle = MARGIN + LEGEND_LINE * (row + 0.5)
            draw.line((LEFT + left, middle, LEFT + left + SWATCH, middle), color, width=2)
            draw.text((LEFT + left + SWATCH + 6, middle), text, INK, letters, anchor="lm")
            placed = [*placed, (LEFT + left + SWATCH / 2, middle)]
        for x, y in placed:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
    return np.asarray(canvas)


def _draw_grid(draw, place, x_ticks, y_ticks, letters):
    """Draws a line and a number at every tick; `place` maps a point of the plot to its pixel."""
    (left, bottom), (right, top) = place(x_ticks[0], y_ticks[0]), place(x_ticks[-1], y_ticks[-1])
    for x in x_ticks:
        at, _ = place(x, y_ticks[0])
        draw.line((at, top, at, bottom), GRID)
        draw.text((at, bottom + 8), f"{x:g}", INK, letters, anchor="mt")
    for y in y_ticks:
        _, at = place(x_ticks[0], y)
        draw.line((left, at, right, at), GRID)
        draw.text((left - 8, at), f"{y:.4g}", INK, letters, anchor="rm")


def _legend_places(names, letters, width):
    """Returns {name: (row, pixels from the left, text)}; no row of the legend is wider than `width` pixels."""
    places, row, left = {}, 0, 0
    for name in names:
        text = _shortened(name, letters)
        needs = SWATCH + 6 + letters.getlength(text)
        if left and left + needs > width:
            row, left = row + 1, 0
        places[name] = row, left, text
        left += needs + 2 * MARGIN
    return places


def _shortened(name, letters):
    """Returns the name; if it is longer than LONGEST_NAME pixels, dots replace its end."""
    if letters.getlength(name) <= LONGEST_NAME:
        return name
    return next(
        short
        for end in range(len(name), -1, -1)
        if letters.getlength(short := f"{name[:end].rstrip()}...") <= LONGEST_NAME
    )


def _ticks(values):
    """Returns about five round numbers at equal distances, from below the least value to above the largest."""
    low, high = min(values), max(values)
    if high - low < 1e-6:  # all values are equal: show them in the middle of the axis
        margin = abs(low) / 2 or 1
        low, high = low - margin, high + margin
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [step * i for i in np.arange(first, max(last, first + 1) + 1)]


def _draw_upright(canvas, text, foot, letters):
    """Writes `text` from the bottom upwards; `foot` is the (x, y) of the point below its first letter."""
    length = round(letters.getlength(text)) + 2
    strip = Image.new("RGB", (length, letters.size + 4), BACKGROUND)
    ImageDraw.Draw(strip).text((0, (letters.size + 4) / 2), text, INK, letters, anchor="lm")
    turned = strip.rotate(90, expand=True)
    canvas.paste(turned, (round(foot[0] - turned.width / 2), round(foot[1] - turned.height)))


def confusion_csv(counts, names):
    """Returns a confusion matrix (K, K) as CSV with the names of the classes; rows are labels."""
    lines = [["label \\ prediction", *names]]
    lines += [[name, *map(str, row)] for name, row in zip(names, counts.tolist(), strict=True)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
