"""Trainings with --deterministic that end with the same bits, whether they were interrupted or not."""

import hashlib
import os
import shutil

from deeplab.benchmarks.input import draw_shard
from deeplab.benchmarks.own_process import alone
from deeplab.checkpoints import bundle
from gpu_check import common, rows

_STEPS, _STOP = 4, 2
_SUFFIXES = {"frozen": "--nofine_tune_batch_norm", "xla": "--jit_compile"}


def check(options):
    """Sends for every network whether a training that lost its last steps comes to the same checkpoint again."""
    shards = draw_shards(f"{options.output}/deterministic")
    for name in options.networks:
        network, *suffixes = name.split("+")
        folder = f"{options.output}/deterministic/{name}"
        crop, batch = options.sizes.small
        words = _words(network, crop, batch, shards)
        words += [_SUFFIXES[suffix] for suffix in suffixes]
        try:
            train(f"{folder}/whole", words)
            _copy_until(_STOP, f"{folder}/whole", f"{folder}/resumed")
            alone(train, f"{folder}/resumed", words, options.quick)
            sums = [_sha256(f"{folder}/{kind}") for kind in ("whole", "resumed")]
            figures = {"sha256": sums[0][:16], "sha256_after_resuming": sums[1][:16]}
            rows.send(name, ok=sums[0] == sums[1], **figures)
        except Exception as error:
            rows.send(name, ok=False, error=common.one_line(error))


def draw_shards(folder):
    """Writes one shard of four small images and returns its folder."""
    os.makedirs(f"{folder}/shards", exist_ok=True)
    draw_shard(f"{folder}/shards", (120, 160))
    return f"{folder}/shards"


def train(folder, words, quick=False):
    """Trains, or resumes, in a folder."""
    if quick:
        common.hurry()
    common.run_program("train", f"--train_logdir={folder}", *words)


def _words(network, crop, batch, shards):
    return [
        *(f"--dataset_dir={shards}", "--dataset=cityscapes", "--train_split=train", "--deterministic"),
        *(f"--model_variant={network}", f"--train_crop_size={crop},{crop}"),
        *(f"--train_batch_size={batch}", f"--training_number_of_steps={_STEPS}", f"--save_interval_steps={_STOP}"),
        *("--log_steps=1", "--nosave_summaries_images"),
    ]


def _copy_until(step, source, target):
    """Copies a train_logdir as it was after `step`: what a training that is killed then leaves."""
    later = os.path.basename(bundle.prefix_for(source, _STEPS))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(f"{later}.*"))
    if bundle.latest(target) != bundle.prefix_for(target, step):
        raise ValueError(f"{target}: expected a checkpoint of step {step}")


def _sha256(folder):
    """Returns the hash of all variables of the last checkpoint: weights, averages, slots, random states, counters."""
    digest = hashlib.sha256()
    for name, value in sorted(bundle.read(bundle.prefix_for(folder, _STEPS)).items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()
