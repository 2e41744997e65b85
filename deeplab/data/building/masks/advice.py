"""Says with which flags label files can be built whose classes nobody named: names to be replaced, such as class_1."""

from typing import NamedTuple

from deeplab.data.building import label_rules, survey
from deeplab.data.building.masks import colors

_TOO_MANY = 64  # no data set has so many classes without ids of 8 bits that begin with 0
_NUMBERED = 32  # different values of 16 bits: they number objects


class Advice(NamedTuple):
    """What to do about labels."""

    flags: tuple = ()  # with which they can be built; () if no flags can
    note: str = ""  # what else they may mean, or why no flags help


def advise(seen):
    """Returns the `Advice` for a `survey.Survey`."""
    if not seen.kind:
        return Advice(note="none could be read: name other labels by --label_dir")
    if seen.kind == "jpeg" and not survey.black_and_white(seen):
        return Advice(
            note="JPEG changes values at every edge, so save the labels again as PNG; if they shall be black and "
            "white: --binary_threshold=128 --class_names=background,object"
        )
    if survey.black_and_white(seen):
        return Advice(("--class_names=background,object",), "white is the object")
    if seen.in_color:
        return _for_colors(seen)
    if seen.kind == "wide" or (seen.deep and len(seen.files) > _NUMBERED):
        return Advice(("--instances_as=object",), "values of 16 bits number objects, all of which become one class; "
                      "where they are ids of classes, name these: --class_names=NAME=ID,NAME=ID")  # fmt: skip
    return _for_values(seen)


def _for_colors(seen):
    chosen, tolerance = colors.principal(seen.pixels)
    if not chosen:
        return Advice(
            note=f"{len(seen.files)} colours are no classes: these are photographs, or each object has a colour of its "
            "own (--instances_as=CLASS makes all of them a class)"
        )
    chosen = sorted(chosen, key=any)  # black is the background nearly everywhere
    names = ",".join(f"class_{i}={survey.text(color)}" for i, color in enumerate(chosen))
    flags = (f"--class_names={names}", *([f"--color_tolerance={tolerance}"] if tolerance else []))
    if not tolerance:
        return Advice(flags, "colours that do not count: --ignore_colors=R,G,B")
    total = seen.pixels.total()
    share = sum(seen.pixels[color] for color in chosen) / total
    return Advice(
        flags,
        f"{share:.2%} of the pixels have exactly these {len(chosen)} colours of {len(seen.files)}; the tolerance "
        "takes the nearest one for the others",
    )


def _for_values(seen):
    values = sorted(seen.files)
    if survey.in_steps(seen):
        names = ",".join(f"class_{value}={value}" for value in values)
        return Advice((f"--class_names={names}",), "values that do not count: leave them out and --ignore_values=N")
    classes = [value for value in values if value != label_rules.DEFAULT_IGNORE]
    count = max(classes, default=0) + 1
    notes = [f"{label_rules.DEFAULT_IGNORE} does not count"] if label_rules.DEFAULT_IGNORE in values else []
    notes.append("values that do not count: --ignore_values=N")
    if min(classes, default=0) == 1 and count > 2:
        names = ",".join(f"class_{value}" for value in range(1, count))
        notes.insert(0, "0 does not occur and is taken as void; where it is a class, leave --reduce_zero_label out "
                     "and name it first")  # fmt: skip
        return Advice((f"--class_names={names}", "--reduce_zero_label"), "; ".join(notes))
    if count > _TOO_MANY:
        return Advice((f"--num_classes={count}",), "; ".join(notes))
    return Advice((f"--class_names={','.join(f'class_{value}' for value in range(max(count, 2)))}",), "; ".join(notes))
