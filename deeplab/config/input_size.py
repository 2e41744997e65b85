"""The option --input_size of predict and export: which images the network sees at another size than their own."""

from deeplab.config.options import option, require

AUTO, TRAINED, ORIGINAL = "auto", "trained", "original"
_EXPECTED = f"{AUTO}, {TRAINED}, {ORIGINAL}, or two positive numbers: height,width"


def input_size_option():
    """Declares the option."""
    return option(
        AUTO,
        "Size at which the network sees an image; its labels get the image's own size. auto: shrink an image whose "
        "longer side is more than 1.5 times that of the largest training image to that image's longer side. trained: "
        "resize every image so. original: never resize. HEIGHT,WIDTH: resize every image to fit into it. The aspect "
        "ratio stays.",
    )


def box(value):
    """Returns the (height, width) that a value of --input_size names, or None for a rule by name.

    Raises:
      UserError: the value is neither.
    """
    if value in (AUTO, TRAINED, ORIGINAL):
        return None
    try:
        sides = tuple(int(side) for side in value.split(","))
    except ValueError:
        sides = ()
    require(len(sides) == 2 and min(sides) > 0, "input_size", value, _EXPECTED)
    return sides


def check(value, **others):
    """Raises a UserError if --input_size has no such value, or asks for a size that one of {option: value} sets."""
    box(value)
    for name, other in others.items():
        free = other is None or value in (AUTO, ORIGINAL)
        require(free, "input_size", value, f"{AUTO} or {ORIGINAL} with --{name}, which says what the network sees")
