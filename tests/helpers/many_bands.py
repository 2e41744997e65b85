"""Draws small data sets of several bands and 16 bits, whose classes can be told apart by their bands."""

import numpy as np
from PIL import Image

CLASSES = "water,field,road"
SPECTRA = np.array([[300, 500, 900, 200, 150], [700, 1500, 600, 3500, 1800], [2200, 2100, 2000, 1900, 3000]])


def scene(seed, size=(65, 81), bands=5):
    """Returns pixels (H, W, bands) uint16 below 4096 and labels (H, W) uint8 of three classes."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    label[size[0] // 3 :] = 1
    left = rng.integers(0, size[1] // 2)
    label[:, left : left + size[1] // 3] = 2
    noise = rng.normal(0, 40, (*size, bands))
    return (SPECTRA[label][..., :bands] + noise).clip(0, 4095).astype(np.uint16), label


def write(root, count=4, bands=5, **options):
    """Writes images/N.tif and labels/N.png below `root`, with tifffile; returns the folder as text."""
    import tifffile

    how = {"photometric": "minisblack", "planarconfig": "contig", **options}

    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels, label = scene(number, bands=bands)
        tifffile.imwrite(root / "images" / f"{number}.tif", pixels, **how)
        Image.fromarray(label).save(root / "labels" / f"{number}.png")
    return str(root)
