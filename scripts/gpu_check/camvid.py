"""CamVid's recipe for two minutes, and the score that it reaches."""

import os
import pathlib
import signal
import tempfile
import threading
import time

from deeplab.evaluation import report
from gpu_check import common, rows
from helpers import fake_data

_RECIPE = "camvid_mobilenet_v2_hour"
_SECONDS = 150  # then the training is stopped; on one H100 the recipe took 122 s
_WITHIN = 0.01  # of mIoU, that mixed precision may lose


def check(options):
    """Sends the score of the recipe, as `eval` gives it."""
    common.use_tf32(True)
    _train_and_score(options, "none")


def compare_precisions(options):
    """Sends the scores in bfloat16 and float16, and whether they are within a point of float32's."""
    common.use_tf32(True)
    results = pathlib.Path(_folder(options, "none")) / f"eval_val/{report.RESULTS}"
    expected = report.KIND.read(str(results))["miou"] if results.exists() else _train_and_score(options, "none")
    for precision in ("bfloat16",) if options.quick else ("bfloat16", "float16"):
        miou = _train_and_score(options, precision)
        close = None if options.quick else miou >= expected - _WITHIN  # a few steps say nothing about a score
        rows.send(f"{precision} against float32", ok=close, miou_higher_by=miou - expected, allowed=-_WITHIN)


def _train_and_score(options, precision):
    folder, shards = _folder(options, precision), options.camvid or _drawn_shards()
    flags = [f"--recipe={_RECIPE}", f"--dataset_dir={shards}", f"--train_logdir={folder}"]
    flags.append(f"--mixed_precision={precision}")
    if options.quick:
        flags += ["--train_crop_size=33,33", "--train_batch_size=2", "--training_number_of_steps=2"]
        flags += ["--slow_start_step=1", "--eval_interval_steps=0", "--nosave_summaries_images"]
    begun = time.monotonic()
    timer = threading.Timer(_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))  # saves, and ends with code 75
    timer.start()
    try:
        code, _told = common.run_program("train", *flags)
    finally:
        timer.cancel()
    seconds = time.monotonic() - begun
    common.run_program("eval", f"--checkpoint_dir={folder}", f"--dataset_dir={shards}")
    found = report.KIND.read(f"{folder}/eval_val/{report.RESULTS}")
    name = "float32" if precision == "none" else precision
    ended = "stopped by the clock" if code else "all steps"
    rows.send(f"recipe, {name}", miou=found["miou"], step=found["step"], ended=ended, seconds_of_training=seconds)
    return found["miou"]


def _folder(options, precision):
    return f"{options.output}/camvid/{precision}"


def _drawn_shards():
    return fake_data.shards(pathlib.Path(tempfile.mkdtemp()), {"train": 2, "val": 1}, num_classes=11)
