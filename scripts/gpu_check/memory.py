"""Running out of memory ends a training with one line that says what to do."""

import os
import subprocess
import sys

from gpu_check import common, rows
from gpu_check.deterministic import draw_shards

# More than any card holds: the second layer of the network alone would take 50 GiB.
_ON_A_GPU = ("--train_batch_size=512", "--train_crop_size=1025,1025")
# On a CPU, TensorFlow's allocator gets a limit, which is less than a few layers need. Some kernels for CPUs crash where
# memory is lacking: oneDNN's, which are off therefore, and others that compute at the same time as the one that fails.
# Such a crash is no finding about a GPU, so the training is tried again.
_ON_A_CPU = ("--train_batch_size=8", "--train_crop_size=257,257")
_LIMIT = {"TF_CPU_ALLOCATOR_USE_BFC": "true", "TF_CPU_BFC_MEM_LIMIT_IN_MB": "100", "TF_ENABLE_ONEDNN_OPTS": "0"}


_TRIES = 3  # on a CPU


def check(options):
    """Sends what a training prints that needs too much memory."""
    shards = draw_shards(f"{options.output}/memory")
    too_much = _ON_A_GPU if common.has_gpu() else _ON_A_CPU
    words = [f"--dataset_dir={shards}", "--dataset=cityscapes", f"--train_logdir={options.output}/memory/run"]
    words += ["--training_number_of_steps=2", "--decoder_output_stride=4", "--nosave_summaries_images", *too_much]
    done, crashes = _train(words), 0
    while done.returncode < 0 and not common.has_gpu() and crashes < _TRIES - 1:
        crashes += 1
        print(f"Ended by signal {-done.returncode}; trying again.")
        done = _train(words)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    said = lines[-1] if lines else f"no line that begins with error: {done.stderr.strip()[-200:]}"
    is_told = done.returncode == 2 and len(lines) == 1 and "Traceback" not in done.stderr
    is_told = is_told and "batch" in said and "crop" in said
    rows.send("training", ok=is_told, exit_code=done.returncode, crashes=crashes, said=said)


def _train(words):
    environment = os.environ if common.has_gpu() else {**os.environ, **_LIMIT}
    done = subprocess.run(
        [sys.executable, "-m", "deeplab.train", *words], env=environment, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr, sep="\n")
    return done
