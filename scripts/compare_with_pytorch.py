"""A training step on this processor beside plain PyTorch's: DeepLabV3Plus of segmentation_models_pytorch, eager.

    python scripts/compare_with_pytorch.py --torch_python=TORCH/bin/python

The Python of `--torch_python` needs `torch` and `segmentation_models_pytorch`; this Python needs neither. Both train
the same backbone with a decoder on the same number of images: random weights, SGD with momentum, L2, and a cross
entropy that ignores a label. PyTorch keeps channels last, and `torch.autocast` chooses what it computes in bfloat16.
The two take turns, so that whatever else the machine does meets both. The ratio is PyTorch's time over ours: above 1,
ours is faster.

The networks are alike, not equal: segmentation_models_pytorch takes sides that are multiples of 16, such as 320 in
place of 321, and its layers around the backbone differ a little.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

PEER = pathlib.Path(__file__).parent / "gpu_check" / "torch_peer.py"
CELLS = {  # name: (network of deeplab.benchmark, crop, images in a step)
    "mobilenet_v2": ("mobilenet_v2 + decoder", 321, 8),
    "resnet101": ("resnet_v1_101_beta + decoder", 257, 2),
    "xception65": ("xception_65 + decoder", 257, 2),
}
PRECISIONS = {"float32": "none", "bfloat16": "bfloat16"}  # name: our --mixed_precision
STEPS = 2  # in a turn


def main(arguments=None):
    options = parsed(arguments)
    print(f"{'':36} {'ours':>8} {'PyTorch':>8} {'PyTorch / ours':>16} {'quartiles':>13}")
    for name in options.networks:
        for precision in options.precisions:
            ours, theirs = times(options, CELLS[name], precision)
            network, crop, batch = CELLS[name]
            print(line(f"{network}, {crop}, {batch}, {precision}", ours, theirs), flush=True)


def parsed(arguments):
    """Returns the options; ends with one line where they make no sense."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch_python", required=True, help="Python that has torch and segmentation_models_pytorch")
    parser.add_argument("--networks", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--turns", type=int, default=8, help=f"turns of each, {STEPS} steps long")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of PyTorch")
    options = parser.parse_args(arguments)
    if not shutil.which(options.torch_python):
        parser.error(f"--torch_python={options.torch_python}: no such program")
    if options.turns < 2:
        parser.error(f"--turns={options.turns}: expected at least 2")
    return options


def times(options, cell, precision):
    """Returns the milliseconds of a step in each turn: (ours, PyTorch's), lists of equal length."""
    network, crop, batch = cell
    how = {"network": network, "crop": crop, "batch": batch, "precision": precision, "threads": options.threads}
    with peer(options.torch_python, how) as theirs:
        theirs(STEPS)  # the first steps trace, allocate and choose kernels
        with our_steps(cell, precision) as ours:
            ours(STEPS)
            turns = [(ours(STEPS), theirs(STEPS)) for _ in range(options.turns)]
    return tuple(zip(*turns, strict=True))


@contextlib.contextmanager
def our_steps(cell, precision):
    """Gives the function (steps) -> milliseconds of one of them."""
    from tensorflow import keras

    from deeplab.benchmarks import training
    from deeplab.config.training import RunConfig

    setting = training.Setting(*cell)
    run = RunConfig(distribution_strategy="one_device", mixed_precision=PRECISIONS[precision])
    steps = training.steps_of(training.training_runner(setting, training.repeated_batch(setting), run))

    def take(count):
        begun = time.perf_counter()
        steps(count)
        return 1000 * (time.perf_counter() - begun) / count

    yield take
    keras.backend.clear_session()


@contextlib.contextmanager
def peer(python, how):
    """Gives the function (steps) -> milliseconds of one of them, in a process that has PyTorch."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    command = [python, str(PEER), json.dumps({"what": "turns", "quick": False, **how})]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:

        def take(count):
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(f"{count}\n")
                child.stdin.flush()
            for row in map(json.loads, child.stdout):
                if row["name"] == "turn":
                    return row["ms"]
                if "skipped" in row:
                    raise SystemExit(f"error: --torch_python={python}: {row['skipped']}")
            raise SystemExit(f"error: --torch_python={python}: its process ended, see above")

        try:
            yield take
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()


def line(name, ours, theirs):
    """Returns a line of the table; the ratio is the median over turns, so that slow moments of the machine cancel."""
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    own, other = statistics.median(ours) / 1000, statistics.median(theirs) / 1000
    return f"{name:36} {own:6.3f} s {other:6.3f} s {middle:16.2f} {low:6.2f}-{high:.2f}"


if __name__ == "__main__":
    main()
