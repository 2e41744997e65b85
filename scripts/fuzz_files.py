"""Reads damaged files of every kind with the project's own readers: each is read, or refused in one line.

    python scripts/fuzz_files.py [--runs=20000] [--seed=0] [--kinds=index,tflite] [--keep=FOLDER]

The script makes small valid files, changes them at random and reads them in worker processes, which may take twice the
size of a file and 1 GB. It prints how many files of each kind were read or refused. It ends with code 1 if a reader
raised another error, was ended by a signal, ran out of memory or computed for more than 30 seconds. The same seed gives
the same files. `--keep` keeps the files that did one of these.
"""

import argparse
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

# How often a kind is read. HDF5 files and SavedModels without a record of their files need a process for each file,
# which takes 0.3 and 5 seconds, and TFRecords a graph that reads them.
SHARES = {
    **{"index": 6, "parts": 4, "data": 1, "state": 1, "archive": 3, "frozen_graph": 4, "tflite": 4, "quantized": 4},
    **{"hdf5": 0.5, "shard": 0.2},
    **{"saved_model": 2, "foreign": 0.02, "config": 1, "dataset": 1, "card": 1, "predicted": 1, "flags": 1},
}
LEAST = 50  # runs of each kind
LEAST_FOREIGN = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="how many files to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(SHARES), help="comma separated, of: " + ", ".join(SHARES))
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the files that did what no file may do")
    parser.add_argument("--workers", type=int, default=2, help="how many processes read files")
    parser.add_argument("--make", type=pathlib.Path, help=argparse.SUPPRESS)  # writes the samples
    parser.add_argument("--worker", type=pathlib.Path, nargs=2, help=argparse.SUPPRESS)  # reads files
    options = parser.parse_args()
    if options.make:
        from file_fuzzing import samples

        samples.write(options.make)
    elif options.worker:
        from file_fuzzing import readers

        readers.serve(*options.worker, options.seed)
    else:
        sys.exit(fuzz(options))


def fuzz(options):
    """Makes the samples, reads the files, prints the table; returns the exit code."""
    import subprocess

    from file_fuzzing import workers

    with tempfile.TemporaryDirectory() as folder:
        samples, work = pathlib.Path(folder, "samples"), pathlib.Path(folder, "work")
        samples.mkdir()
        subprocess.run([sys.executable, __file__, f"--make={samples}"], check=True, stderr=subprocess.DEVNULL)
        found = workers.run(__file__, tasks(options), samples, work, options.seed, options.workers)
        print("\n".join(workers.table(found)))
        bad = [row for row in found if row[2] not in workers.GOOD]
        for kind, number, outcome, message in bad:
            print(f"\n{kind} {number}: {outcome.replace('_', ' ')}\n{message}")
        if bad and options.keep:
            _keep(samples, options, bad)
    return 1 if bad else 0


def tasks(options):
    """Returns [(kind, number)] of the files to read, the kinds in turns."""
    kinds = options.kinds.split(",")
    total = sum(SHARES[kind] for kind in kinds)
    counts = {kind: round(options.runs * SHARES[kind] / total) for kind in kinds}
    counts = {kind: max(count, LEAST_FOREIGN if kind == "foreign" else LEAST) for kind, count in counts.items()}
    rows = [(number / count, kind, number) for kind, count in counts.items() for number in range(count)]
    return [(kind, number) for _place, kind, number in sorted(rows)]


def _keep(samples, options, bad):
    from file_fuzzing import readers

    for kind, number, outcome, _message in bad:
        name, content = readers.mutation(samples, kind, options.seed, number)
        target = options.keep / f"{kind}-{options.seed}-{number}-{outcome}-{pathlib.Path(name).name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


if __name__ == "__main__":
    main()
