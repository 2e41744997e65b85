"""Times from images on the host to labels on the host, by SavedModels in every precision."""

import os

import numpy as np
import tensorflow as tf

from deeplab.benchmarks.timing import interleaved
from deeplab.config.benchmark import NETWORKS
from gpu_check import common, rows
from gpu_check.exports import write

PRECISIONS = ("float32", "bfloat16", "float16")


def measure(options):
    """Sends the times of the export in float32 with TF32, bfloat16 and float16, in turns at every batch size."""
    common.use_tf32(True)
    _measure(options, {name: name for name in PRECISIONS})


def measure_without_tf32(options):
    """Sends the times of the export in float32 without TF32, in a process that never used TF32."""
    common.use_tf32(False)
    _measure(options, {"float32 without TF32": "float32"})


def _measure(options, forms):
    config, sizes = NETWORKS[options.benchmark_network], options.sizes
    segment = {}
    for form, precision in forms.items():
        try:
            segment[form] = _segmenting(f"{options.output}/inference/{precision}", config, precision)
        except Exception as error:
            rows.send(form, ok=False, error=common.one_line(error))
    for batch in sizes.batches:
        images = common.smooth_images(batch, sizes.crop)
        common.forget_peak()
        labels = {form: run(images) for form, run in segment.items()}
        turns = {form: lambda run=run, images=images: run(images) for form, run in segment.items()}
        first = next(iter(labels.values()), None)
        for form, milliseconds in interleaved(turns, sizes.runs, warm_up=2).items():
            ms, same = np.median(milliseconds), np.mean(labels[form] == first)
            figures = {"ms": ms, "images_per_second": 1000 * batch / ms, "labels_as_first_percent": 100 * same}
            figures["classes"] = len(np.unique(labels[form]))
            title = f"{form}, batch {batch}"
            rows.send(title, by="ours", compare=title, **figures, peak_gib=common.peak_gib())


def _segmenting(folder, config, precision):
    """Returns a function images -> labels of an export, which is written unless the folder has it."""
    path = f"{folder}/export/1"
    if not os.path.exists(path):
        path = write(folder, config, precision)
    module = tf.saved_model.load(path)
    signature = module.signatures["serving_default"]

    def run(images, _module=module):  # signatures do not keep the module's weights
        return signature(images=tf.constant(images))["labels"].numpy()

    return run
