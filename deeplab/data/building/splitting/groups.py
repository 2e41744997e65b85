"""Divides pairs into training and validation at random, by groups that stay together, and by folds.

A group is what must not be on both sides: a patient, a slide, a drive, a field. The same seed gives the same splits.
This module imports nothing heavy, so that the scripts can import it before they know what to do.
"""

import random
import re

from deeplab.errors import UserError

_SHOWN = 3  # names that a message lists


def keys(pairs, pattern):
    """Returns {group: [pairs]} of what the regular expression finds in the names, in the order of the names.

    A group is what the first pair of parentheses of `pattern` holds, or without these all that it matches.

    Raises:
      UserError: the pattern is no regular expression, or matches no part of a name.
    """
    expression = compiled(pattern)
    found, without = {}, []
    for pair in sorted(pairs):
        match = expression.search(pair.name)
        if match:
            found.setdefault(match.group(1 if expression.groups else 0) or "", []).append(pair)
        else:
            without.append(pair.name)
    if without:
        raise UserError(
            f"--group_by={pattern}: matches nothing in {len(without)} of {len(pairs)} names, such as "
            f"{', '.join(map(repr, without[:_SHOWN]))}; every name needs a group"
        )
    return found


def compiled(pattern):
    """Returns the compiled regular expression of --group_by; raises a UserError if it is none."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"--group_by={pattern}: no regular expression ({error}); an example is '^([^_]+)_'") from None


def _units(pairs, pattern):
    """Returns the lists of pairs that stay together, in the order of the names."""
    return list(keys(pairs, pattern).values()) if pattern else [[pair] for pair in sorted(pairs)]


def random_split(pairs, fraction, seed, pattern=""):
    """Returns {"train": [...], "val": [...]}, where val is a random `fraction` (0 to 1) of the pairs, at least one.

    With a `pattern`, groups stay together, and val comes as near to the fraction as they allow.
    """
    units = _units(pairs, pattern)
    random.Random(seed).shuffle(units)
    wanted = max(1, round(len(pairs) * fraction))
    val, train, size = [], [], 0
    for unit in units:
        nearer = abs(size + len(unit) - wanted) < abs(size - wanted)
        (val if nearer else train).extend(unit)
        size += len(unit) if nearer else 0
    if not val:  # every group is large
        val = min(units, key=len)
        train = [pair for unit in units if unit is not val for pair in unit]
    if not train:
        what = f"{len(units)} groups" if pattern else f"{len(pairs)} pairs"
        raise UserError(f"--val_fraction={fraction}: nothing of {what} is left to train on")
    return {"train": sorted(train), "val": sorted(val)}


def fold_split(pairs, folds, fold, seed, pattern=""):
    """Returns {"train": [...], "val": [...]}, where val is part `fold` (1 to `folds`) of the pairs.

    The parts of all folds together are all pairs, each of them once. Groups stay together, and the largest ones are
    dealt first, each to the smallest part.
    """
    units = _units(pairs, pattern)
    if len(units) < folds:
        what = "groups" if pattern else "pairs"
        raise UserError(f"--folds={folds}: there are only {len(units)} {what}; give at most as many folds")
    random.Random(seed).shuffle(units)
    parts = [[] for _ in range(folds)]
    for unit in sorted(units, key=len, reverse=True):
        min(parts, key=len).extend(unit)
    val = parts.pop(fold - 1)
    return {"train": sorted(pair for part in parts for pair in part), "val": sorted(val)}


def refuse_shared(splits, pattern):
    """Raises a UserError if a group has pairs in several splits, which lists or folders name.

    Args:
      splits: {split: pairs}. A split that holds another one, such as trainval, is left out.
      pattern: the regular expression of the groups.
    """
    groups = {split: set(keys(pairs, pattern)) for split, pairs in splits.items() if split != "trainval"}
    for first in groups:
        for second in list(groups)[list(groups).index(first) + 1 :]:
            both = sorted(groups[first] & groups[second])
            if both:
                more = f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""
                raise UserError(
                    f"--group_by={pattern}: {', '.join(map(repr, both[:_SHOWN]))}{more} in both {first} and {second}; "
                    "mend the lists or folders, or use --val_fraction or --folds in place of them"
                )
