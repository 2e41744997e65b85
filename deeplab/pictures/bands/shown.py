"""Shows images of any bands and depth as RGB of 8 bits, for people."""

import numpy as np

_LOW, _HIGH = 2, 98  # percentiles that become black and white, as GIS programs stretch by default
_MOST = 1 << 18  # pixels from which the percentiles are taken


def rgb(pixels):
    """Returns (H, W, 3) uint8 of pixels (H, W, C) of any type.

    RGB of 8 bits stays as it is. Of more bands, the first three are shown; of one or two, the first as grey. Each band
    is stretched so that its lowest 2 % of pixels are black and its highest 2 % white.
    """
    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        return pixels
    bands = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    step = max(1, int(np.sqrt(bands.shape[0] * bands.shape[1] / _MOST)))
    low, high = np.percentile(bands[::step, ::step].astype(np.float32), (_LOW, _HIGH), axis=(0, 1))
    wide = np.maximum(high - low, 1e-6)
    shown = ((bands.astype(np.float32) - low) * (255 / wide)).clip(0, 255).round().astype(np.uint8)
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown
