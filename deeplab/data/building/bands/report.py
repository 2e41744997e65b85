"""What the report of a build says about images that lose something, with the flag that helps."""

from deeplab.files import escaping

# {what is lost: the text about several images, and the flag that helps}
TOLD = {
    "depth": ("more than 8 bits per value, which were scaled to 8 bits", "--value_range=auto keeps all bits"),
    "narrow": (
        "no more than a sixteenth of the range of 16 bits in use, so that they are nearly of one colour at 8 bits",
        "--value_range=auto spreads what is in use",
    ),
    "transparency": (
        "transparent pixels, which were laid on white",
        "--bands=1,2,3 takes the colours as they are stored, --bands=all a fourth band that is no alpha",
    ),
    "bands": ("a further band that is no alpha, which was left out", "--bands=all keeps it, --bands=4,1,2 chooses"),
    "pages": (
        "further pages, of which only the first was used",
        "pages of one size count as further bands: --bands=all or e.g. --bands=2",
    ),
    "clipped": ("more than 1 % of their values outside of --value_range", "--value_range=auto finds the range"),
    "narrow_in_range": (
        "no more than a sixteenth of --value_range in use",
        "--value_range=auto finds the range, --value_range=per_image spreads each image by itself",
    ),
}
_NAMED = 3  # images that a line names


def lines(lost):
    """Returns lines of text about {key of `TOLD`: [paths of images]}."""
    found = []
    for key, (text, way_out) in TOLD.items():
        if paths := lost.get(key):
            names = ", ".join(map(escaping.terminal, paths[:_NAMED]))
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            have = "image has" if len(paths) == 1 else "images have"
            found.append(f"  warning: {len(paths)} {have} {text}; {way_out} ({names}{more})")
    return found
