"""How many images a network sees at once, unless the user says it."""

from deeplab.layers import hardware

# A GPU takes a third as long for each image of a batch as for an image alone, because most of its cores have nothing to
# do at the small sizes deep in a network. From 8 images of 513x513 on, larger batches gain little, and a card with 8 GB
# still holds these. On a CPU an image of a batch takes as long as an image alone.
_PIXELS = 8 * 513 * 513
_MOST = 16


def images_at_once(given, height, width):
    """Returns the number of images of a size that a device segments at once.

    Args:
      given: the number that the user asked for, or None.
      height, width: sides of the images in pixels, with their padding.
    """
    if given is not None:
        return given
    return min(_MOST, max(1, _PIXELS // (height * width))) if hardware.is_accelerated() else 1


def largest(given):
    """Returns the largest number that `images_at_once` returns for any size."""
    return images_at_once(given, 1, 1)


def note(given, option):
    """Returns the sentence that says which number was chosen, or "" where the user said it or it is 1."""
    if given is not None or not hardware.is_accelerated():
        return ""
    return (
        f"on a GPU, images of one size are segmented in batches, up to {_MOST} images or those that have together as "
        f"many pixels as 8 images of 513x513; --{option}=1 segments one at a time"
    )
