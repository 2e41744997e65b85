"""Images a second of the server beside the same SavedModel called directly, and what batching is worth."""

import concurrent.futures
import contextlib
import io
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.benchmarks import server_load
from deeplab.benchmarks.timing import Row
from deeplab.inference import export_folder, exports

CLIENTS = (1, 4, 16)
SIDE = 257  # pixels of the images
_SIGNATURE, _INPUT = "bytes", "image_bytes"
_ALONE = "server, one image at a time"


def print_load(saved_model, images=100, runs=3, clients=CLIENTS):
    """Prints images a second by number of clients: direct calls, the server, and the server without batches.

    Direct calls run in this process, by as many threads as there are clients, on the same files and the same signature.
    The measurements take turns, so that a change of the machine's speed meets all of them.

    Args:
      saved_model: an --export_path.
      images: number of images of one measurement.
      runs: how often each is measured.
      clients: numbers of clients.

    Returns:
      {(number of clients, what): `Row`}.
    """
    files = _files(images)
    export = exports.load(export_folder.find(saved_model).path, required=(_SIGNATURE,))
    with contextlib.ExitStack() as stack:
        ways = {
            "direct calls": lambda files, number: _call(export, files, number),
            "server": stack.enter_context(server_load.serving(saved_model)),
            _ALONE: stack.enter_context(server_load.serving(saved_model, flags=("--max_batch_size=1",))),
        }
        for way in ways.values():
            way(files, max(clients))  # warms up
        found = {}
        for number in clients:
            for _ in range(runs):
                for name, way in ways.items():
                    start = time.perf_counter()
                    way(files, number)
                    found.setdefault((number, name), []).append(len(files) / (time.perf_counter() - start))
    return _print_table(found, clients, ways)


def _call(export, files, clients):
    """Runs the signature on each file alone, in as many threads as there are clients."""
    run = lambda content: export.run(_SIGNATURE, {_INPUT: np.array([content], object)})  # noqa: E731
    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
        list(threads.map(run, files))


def _print_table(found, clients, ways):
    print(f"{'clients':>7}" + "".join(f"{name:>30}" for name in ways) + f"{'server / direct':>17}{'of batching':>13}")
    for number in clients:
        rates = {name: found[number, name] for name in ways}
        line = "".join(f"{np.median(rates[name]):21.1f} images/s" for name in ways)
        over = [np.median(np.divide(rates["server"], rates[other])) for other in ("direct calls", _ALONE)]
        print(f"{number:7}{line}{over[0]:17.2f}{over[1]:13.2f}", flush=True)
    return {key: Row.of(f"{key[1]}, {key[0]} clients", rates, "images/s") for key, rates in found.items()}


def _files(count):
    """Returns JPEG files of smooth pictures, which no two are alike."""
    files = []
    for seed in range(count):
        small = np.random.default_rng(seed).integers(0, 256, (1, 9, 9, 3))
        picture = tf.cast(tf.image.resize(small, (SIDE, SIDE), "bicubic"), tf.uint8)[0].numpy()
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    return files
