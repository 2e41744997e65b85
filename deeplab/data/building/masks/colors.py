"""Colours that are not exact: interpolated masks and JPEGs, whose pixels count as the nearest colour of a class.

This module does not import TensorFlow, since worker processes use it.
"""

import itertools

import numpy as np

from deeplab.data.building import label_rules
from deeplab.errors import UserError

FARTHEST = 442  # no two colours are farther apart
_LEAST_SHARE = 0.002  # of all pixels: a colour with less is a blend of others, if there are many colours
_LEAST_BLEND = 0.01  # a colour with less is a blend if it lies between two commoner ones
_ON_LINE = 6.0  # distance in RGB from the line between two colours, which rounding and compression cause
_MOST_CLASSES = 64
_COVERED = 0.7  # share of pixels that are near the colours of classes; less is a photograph
_EXACT = 0.5  # share of pixels that have these colours exactly
_NEAR = 24.0  # distance in RGB by which compression changes a colour


def nearest(image, rules):
    """Returns the labels (H, W) uint8 of a PIL image by the nearest colour, and {"changed" or "void": pixels}.

    Raises:
      UserError: more than `rules.most_unmatched` of the pixels are farther than `rules.color_tolerance` from every
        colour.
    """
    codes = label_rules.color_codes(image)
    labels = label_rules.color_table(rules.colors, rules.ignore_colors, rules.ignore_label)[codes]
    inexact = labels < 0
    if not inexact.any():
        return labels.astype(np.uint8), {}
    found, where, counts = np.unique(codes[inexact], return_inverse=True, return_counts=True)
    classes, distances = to_nearest(found, [*rules.colors, *rules.ignore_colors])
    targets = np.array([*range(len(rules.colors)), *[rules.ignore_label] * len(rules.ignore_colors)])[classes]
    far = distances > rules.color_tolerance
    unmatched = int(counts[far].sum())
    if unmatched > rules.most_unmatched * codes.size:
        _refuse(found[far], counts[far], distances[far], unmatched / codes.size, rules)
    labels[inexact] = np.where(far, rules.ignore_label, targets)[where.ravel()]
    return labels.astype(np.uint8), {"changed": int(counts.sum()) - unmatched, "void": unmatched}


def _refuse(codes, counts, distances, share, rules):
    largest = np.argsort(-counts)[:3]
    shown = ", ".join(
        f"#{int(codes[i]):06x} ({counts[i]} pixels, distance {distances[i]:.0f})" for i in largest
    )  # fmt: skip
    raise UserError(
        f"{share:.1%} of its pixels are farther than --color_tolerance={rules.color_tolerance:g} from the colour of "
        f"every class, such as {shown}; at most --most_unmatched={rules.most_unmatched:g} may be. Add their colours to "
        "--class_names or to --ignore_colors, or raise one of the two"
    )


def to_nearest(codes, colors):
    """Returns for colour codes (N,) the index of the nearest of `colors` ((R, G, B)), and the distance to it."""
    points = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).astype(np.float32)
    best = np.zeros(len(points), int)
    distance = np.full(len(points), np.inf, np.float32)
    for index, color in enumerate(colors):
        away = np.sqrt(((points - np.array(color, np.float32)) ** 2).sum(1))
        best[away < distance] = index
        distance = np.minimum(distance, away)
    return best, distance


def principal(pixels):
    """Returns the colours that are classes, the commonest first, and the tolerance with which the others count as one.

    Blends at the borders of classes are rare, and lie between two commoner colours.

    Args:
      pixels: {(R, G, B): number of pixels}.

    Returns:
      ([], 0) where no few colours cover most pixels, as in a photograph. The tolerance is a round number.
    """
    total = sum(pixels.values())
    order = sorted(pixels, key=pixels.get, reverse=True)
    chosen = []
    for color in order:
        share = pixels[color] / total
        if share < _LEAST_SHARE or len(chosen) > _MOST_CLASSES:
            break
        near = any(_distance(color, other) < _NEAR / 2 for other in chosen)
        if not near and not (share < _LEAST_BLEND and is_blend(color, chosen)):
            chosen.append(color)
    rest = [color for color in order if color not in chosen]
    if len(order) <= _MOST_CLASSES and not (len(rest) > len(chosen) and all(is_blend(c, chosen) for c in rest)):
        return order, 0
    codes = np.array([r << 16 | g << 8 | b for r, g, b in order], np.int64)
    distances = to_nearest(codes, chosen)[1] if chosen else np.full(len(codes), np.inf)
    covered = sum(pixels[color] for color, distance in zip(order, distances, strict=True) if distance <= _NEAR)
    exact = sum(pixels[color] for color in chosen)
    if len(chosen) > _MOST_CLASSES or covered < _COVERED * total or exact < _EXACT * total:
        return [], 0
    return chosen, min(int(-(-distances.max() // 10) * 10), FARTHEST)


def is_blend(color, colors):
    """Tells whether a colour lies between two of `colors`, (R, G, B) each, as what interpolation makes of them does."""
    point = np.array(color, float)
    for first, second in itertools.combinations(colors, 2):
        start, along = np.array(first, float), np.array(second, float) - first
        part = np.dot(point - start, along) / np.dot(along, along)
        if 0 < part < 1 and np.linalg.norm(start + part * along - point) <= _ON_LINE:
            return True
    return False


def _distance(first, second):
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5
