"""Kills a training again and again, and compares its result with that of a training that was left alone.

    python scripts/kill_training.py --dataset_dir=SHARDS --work_dir=DIR [--kills=20] [--replicas=2] [--signal=term] \\
      [--deterministic]

Both trainings save every second step, so that some of the kills (SIGKILL, at random moments) hit a checkpoint that is
being written. Prints the sha256 over all variables of both trainings, and ends with code 0 if they are the same.
"""

import argparse
import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def command(options, folder):
    """Returns the command line of one training."""
    flags = {
        "train_logdir": folder,
        "dataset_dir": options.dataset_dir,
        "distribution_strategy": "mirrored" if options.replicas > 1 else "one_device",
        "training_number_of_steps": 3 * options.kills,
        "train_batch_size": 4,
        "train_crop_size": "33,33",
        "depth_multiplier": 0.25,
        "base_learning_rate": 0.05,
        "log_steps": 1,
        "save_interval_steps": 2,
    }
    launch = [str(ROOT / "scripts" / "on_logical_devices.py"), f"--devices={options.replicas}", "deeplab.train"]
    deterministic = ["--deterministic"] * options.deterministic
    return [sys.executable, *launch, *(f"--{name}={value}" for name, value in flags.items()), *deterministic]


SIGNALS = {  # signal and expected exit code
    "kill": (signal.SIGKILL, -signal.SIGKILL),
    "term": (signal.SIGTERM, 75),
    "int": (signal.SIGINT, 130),
}


def kill_once(arguments, rng, how):
    """Starts the training and kills it a moment after its second to fourth step; returns False if it ended before."""
    number, code = SIGNALS[how]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    steps = rng.randint(2, 4)
    with process:
        for line in process.stdout:
            steps -= line.startswith("step ")
            if steps == 0:
                time.sleep(rng.uniform(0, 0.3))
                process.send_signal(number)
                break
        process.stdout.read()
    return process.returncode == code


def digest(folder):
    """Returns (step, sha256 over names and values) of the newest checkpoint."""
    from deeplab.checkpoints import bundle

    prefix = bundle.latest(str(folder))
    total = hashlib.sha256()
    for name, value in sorted(bundle.read(prefix).items()):
        total.update(name.encode() + value.tobytes())
    return bundle.step_of(prefix), total.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset_dir", required=True, help="shards with a split train; small images will do")
    parser.add_argument("--work_dir", required=True, help="an empty folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=1, help="logical devices that share a batch")
    parser.add_argument("--deterministic", action="store_true", help="train with --deterministic, as a GPU needs it")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--signal", choices=SIGNALS, default="kill", help="kill: at once; term and int: saves first")
    options = parser.parse_args()
    rng, work = random.Random(options.seed), pathlib.Path(options.work_dir)
    kills = 0
    while kills < options.kills and kill_once(command(options, work / "killed"), rng, options.signal):
        kills += 1
        print(f"kill {kills}", flush=True)
    for folder in ("killed", "whole"):
        subprocess.run(command(options, work / folder), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    results = [digest(work / folder) for folder in ("killed", "whole")]
    print(f"{kills} kills, {options.replicas} replicas: step {results[0][0]}, sha256 {results[0][1]}")
    print(f"left alone:            step {results[1][0]}, sha256 {results[1][1]}")
    return 0 if results[0] == results[1] and kills == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
