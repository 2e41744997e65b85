"""Finds out, before a build, how many channels the images have and which range of values `auto` means."""

import concurrent.futures
import multiprocessing

import numpy as np

from deeplab.config.builders import ALL_BANDS, AUTO_RANGE
from deeplab.data.building.bands.rules import ImageRules
from deeplab.data.channels.value_range import PER_IMAGE
from deeplab.errors import UserError
from deeplab.files import paths, progress_bar
from deeplab.pictures.bands import reading

_LOW, _HIGH = 0.1, 99.9  # percentiles of an image: single hot or dead pixels do not widen the range
_MOST_PIXELS = 1 << 18  # of an image, from which the percentiles are taken
_MOST_IMAGES = 2000  # that `auto` looks at, spread evenly


def summary(found):
    """Returns a line about what `channels` found."""
    values = found["value_range"]
    shown = values if isinstance(values, str) else ",".join(f"{value:g}" for value in values)
    bands = ",".join(map(str, found["bands"]))
    return f"images: {found['num_channels']} channels, --bands={bands}" + (f" --value_range={shown}" if shown else "")


def channels(config, files, earlier=None):
    """Returns {"num_channels", "value_range", "bands"} of a data set, as in `channels.facts`; {} for RGB of 8 bits.

    Args:
      config: a `BuildConfig` with a `ChannelsConfig` under `channels`.
      files: paths of the images; the first one says how many bands there are.
      earlier: the `catalog.Dataset` that the build adds to, whose range `auto` then is; None for a new one.

    Raises:
      UserError: the first image cannot be read, or has too few bands.
    """
    wanted = config.channels
    if not (wanted.bands or wanted.value_range) or not files:
        return {}
    bands, is_auto = _bands(wanted.bands, files[0]), wanted.value_range == (AUTO_RANGE,)
    if is_auto and earlier is not None and earlier.bands == bands and earlier.value_range:
        found = earlier.value_range
    elif is_auto:
        found = _range(files, bands, config)
    else:
        found = PER_IMAGE if wanted.value_range == (PER_IMAGE,) else tuple(map(float, wanted.value_range))
    return {"num_channels": len(bands), "value_range": found, "bands": bands}


def _bands(given, path):
    """Returns the numbers of the bands that --bands means for files as that of `path`; () means all but alpha."""
    if given and given != (ALL_BANDS,):
        return tuple(map(int, given))
    content = paths.read_regular(path)
    try:
        if given:
            return tuple(range(1, reading.number_of_bands(content, with_alpha=True) + 1))
        return tuple(range(1, reading.number_of_bands(content) + 1))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _range(files, bands, config):
    """Returns (low, high, ...), a pair for each band, of all images; one pair where all bands have the same."""
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(len(files), _MOST_IMAGES)).astype(int))]
    found, problems = [], []
    with progress_bar.show(len(chosen), "image", "value_range") as bar:
        for one in _in_workers(chosen, ImageRules(bands, max_pixels=config.max_image_pixels), config.workers):
            bar.update()
            (problems if isinstance(one, str) else found).append(one)
    if not found:
        raise UserError(f"--value_range={AUTO_RANGE}: none of {len(chosen)} images can be read. {problems[0]}")
    low, high = np.min([one[0] for one in found], axis=0), np.max([one[1] for one in found], axis=0)
    high = np.where(high > low, high, low + 1)
    return tuple(float(value) for pair in zip(low, high, strict=True) for value in pair)


def _in_workers(files, rules, workers):
    workers = min(workers, -(-len(files) // 8))
    if workers <= 1:
        yield from (_of_file(path, rules) for path in files)
        return
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_of_file, files, [rules] * len(files), chunksize=4)


def _of_file(path, rules):
    """Returns the lowest and the highest value of each band of an image, or why it cannot be read, a text."""
    try:
        pixels, _orientation = reading.read(paths.read_regular(path), rules.bands, rules.max_pixels)
    except (UserError, OSError) as error:
        return f"{path}: {error}"
    step = max(1, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / _MOST_PIXELS)))
    return np.percentile(pixels[::step, ::step].astype(np.float32), (_LOW, _HIGH), axis=(0, 1))
