"""Outlines with fewer points, and outlines with holes as one ring."""

import numpy as np


def kept_points(ring, outside, tolerance):
    """Returns the sorted indices of the points of a ring that stay, so that no other point is far from the new ring.

    Neighbouring classes share borders, and the borders shall fit together afterwards. Therefore the points where the
    neighbour changes stay, and what lies between two of them is simplified in the same way from either side.

    Args:
      ring: (N, 2) points of a closed line; the last one is not the first one again.
      outside: (N,) the label on the other side of the line at each point.
      tolerance: distance in pixels. Removed points are less than half of it away from the line, since programs that
        draw polygons with whole pixels, as labelme does, add as much. Source: Douglas and Peucker, 1973.
    """
    ends = outside != np.roll(outside, -1)
    fixed = np.flatnonzero(ends | np.roll(ends, 1))
    if not len(fixed):
        order = np.lexsort(ring.T[::-1])  # by x, then by y, which does not depend on where the ring begins
        first = order[0]
        distances = np.square(ring[order] - ring[first]).sum(1)
        fixed = np.unique([first, order[distances.argmax()]])
    kept = [fixed]
    for first, last in zip(fixed, np.roll(fixed, -1), strict=True):
        places = np.arange(first, last + 1 if last > first else last + 1 + len(ring)) % len(ring)
        if tuple(ring[places[0]]) > tuple(ring[places[-1]]):
            places = places[::-1]
        kept.append(places[_between(ring[places], tolerance)])
    return np.unique(np.concatenate(kept))


def _between(points, tolerance):
    """Returns the indices of the points (N, 2) of an open line that stay besides its ends."""
    kept, waiting = [], [(0, len(points) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        inner, along = points[first + 1 : last] - points[first], points[last] - points[first]
        length = np.hypot(*along)
        across = inner[:, 0] * along[1] - inner[:, 1] * along[0]
        distances = np.abs(across) / length if length else np.hypot(*inner.T)
        farthest = int(distances.argmax())
        if distances[farthest] > 0 and distances[farthest] >= tolerance / 2:
            middle = first + 1 + farthest
            kept.append(middle)
            waiting += [(first, middle), (middle, last)]
    return np.array(kept, int)


def cut_open(rings):
    """Returns one ring (N, 2) for an outline with holes: a seam without width leads to each hole and back.

    The seam of a hole goes from its leftmost point to the left until it meets the ring. Holes are taken from left to
    right, so that nothing lies in between but rings that belong to the ring already.
    """
    outline, *holes = rings
    for hole in sorted(holes, key=lambda points: points[:, 0].min()):
        start = hole[:, 0].argmin()
        outline = _joined(outline, np.roll(hole, -start, axis=0))
    return outline


def _joined(ring, hole):
    x, y = hole[0]
    begins, ends = ring, np.roll(ring, -1, axis=0)
    meets = np.flatnonzero((begins[:, 1] > y) != (ends[:, 1] > y))
    shares = (y - begins[meets, 1]) / (ends[meets, 1] - begins[meets, 1])
    at = begins[meets, 0] + shares * (ends[meets, 0] - begins[meets, 0])
    left = np.flatnonzero(at <= x)
    if len(left):
        nearest = left[at[left].argmax()]
        place, door = meets[nearest], np.array([[at[nearest], y]])
    else:  # simplifying has pushed the hole out of its outline
        place = np.square(ring - hole[0]).sum(1).argmin()
        door = ring[place : place + 1]
    return np.concatenate([ring[: place + 1], door, hole, hole[:1], door, ring[place + 1 :]])
