"""A worker process: reads mutated files with the project's own readers, and says how each ended."""

import os
import pathlib
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

from deeplab import UserError, cli
from deeplab.checkpoints import sources
from deeplab.config.inference import PredictConfig
from deeplab.data import catalog, pipeline, records, source, tfrecord
from deeplab.data.building import linter
from deeplab.inference import export_folder, exports, input_size, output_folder, trained
from file_fuzzing import mutations, structure

READ, REFUSED, TRACEBACK, MEMORY, SLOW = "read", "refused", "traceback", "out of memory", "too slow"
SECONDS = 30  # of computing; a file that takes longer is too slow
_ROOM = 1 << 30  # bytes that a file may take beside twice its size
_STRUCTURED = 0.5  # share of the mutations that keep the form of the file


class Kind(NamedTuple):
    """One kind of file."""

    files: tuple[str, ...]  # one of these is mutated, below the folder that bears the kind's name
    read: Callable[[pathlib.Path], object]  # reads the folder as a program does
    structured: Callable | None = None  # (content, rng) -> content, in the module `structure`


def _weights(name):
    return lambda folder: sources.read(str(folder / name))


def _read_card(folder):
    return input_size.of_card(export_folder.read_card(str(folder)))


def _read_flags(folder):
    here = os.getcwd()
    os.chdir(folder)  # mutated names of files shall lie there
    try:
        return cli.read(PredictConfig, ["predict", "--flagfile=flags.txt"], flags.FlagValues())
    finally:
        os.chdir(here)


def _read_shard(folder):
    """Reads all records as the linter does, and as evaluation does."""
    linter.lint(str(folder), catalog.load(str(folder)), 1)
    split = source.open_split(str(folder), "train")
    with records.reading(split):
        for _example in pipeline.eval_examples(split):
            pass


_PREFIX, _INDEX, _DATA = "model.ckpt-5", "model.ckpt-5.index", "model.ckpt-5.data-00000-of-00001"
_SAVED = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001", "model.json")
KINDS = {
    "index": Kind((_INDEX,), _weights(_PREFIX), structure.index),
    "parts": Kind((_INDEX,), _weights(_PREFIX), structure.index),
    "data": Kind((_DATA,), _weights(_PREFIX)),
    "state": Kind(("checkpoint",), _weights("")),
    "archive": Kind(("model.tar.gz",), _weights("model.tar.gz"), structure.archive),
    "frozen_graph": Kind(("graph.pb",), _weights("graph.pb")),
    "tflite": Kind(("graph.tflite",), _weights("graph.tflite")),
    "quantized": Kind(("graph.tflite",), _weights("graph.tflite")),
    "hdf5": Kind(("weights.h5",), _weights("weights.h5")),
    "saved_model": Kind(_SAVED, lambda folder: exports.load(str(folder))),
    "foreign": Kind(_SAVED[:3], lambda folder: exports.load(str(folder))),
    "config": Kind(("config.json",), lambda folder: trained._read_config(str(folder)), structure.json_text),
    "dataset": Kind(("dataset.json",), lambda folder: catalog.load(str(folder)), structure.json_text),
    "shard": Kind((tfrecord.shard_name("train", 0, 1),), _read_shard, structure.shard),
    "card": Kind(("model.json",), _read_card, structure.json_text),
    "predicted": Kind(("predict.json",), lambda folder: output_folder._read(str(folder)), structure.json_text),
    "flags": Kind(("flags.txt",), _read_flags, structure.flags),
}


def mutation(samples, kind, seed, number):
    """Returns (name of the file, its mutated content), which depend on these arguments alone."""
    rng = random.Random(f"{seed} {kind} {number}")
    name = rng.choice(KINDS[kind].files)
    content = (samples / kind / name).read_bytes()
    if KINDS[kind].structured and rng.random() < _STRUCTURED:
        return name, KINDS[kind].structured(content, rng)
    return name, mutations.mutated(content, rng)


def serve(samples, work, seed):
    """Reads lines `kind number` and writes lines `kind number outcome message`, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the readers print
    for line in sys.stdin:
        kind, number = line.split()
        outcome, message = attempt(samples, work, kind, *mutation(samples, kind, seed, number))
        answers.write(f"{kind} {number} {outcome.replace(' ', '_')} {message[:300]}\n")
        answers.flush()


def attempt(samples, work, kind, name, content):
    """Reads a sample with one file replaced; returns (outcome, message in one line)."""
    folder = work / kind
    if not folder.exists():
        shutil.copytree(samples / kind, folder)
    (folder / name).write_bytes(content)
    start = _computed()
    outcome, message = _outcome(KINDS[kind].read, folder, len(content))
    shutil.copyfile(samples / kind / name, folder / name)
    if _computed() - start > SECONDS and outcome in (READ, REFUSED):
        outcome = SLOW
    return outcome, " ".join(message.split())


def _outcome(read, folder, size):
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_held() + 2 * size + _ROOM, hard))
    try:
        read(folder)
    except UserError as error:
        return (TRACEBACK if "\n" in str(error) else REFUSED), str(error)
    except MemoryError:
        return MEMORY, traceback.format_exc()[-300:]
    except BaseException:
        return TRACEBACK, traceback.format_exc()[-300:]
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    return READ, ""


def _computed():
    """Returns for how many seconds this process and its children have computed, which other programs do not change."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _held():
    """Returns how many bytes this process holds."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0
