"""The command line of the check, and the sizes at which it measures."""

import argparse
import dataclasses
import shutil
import tempfile
from typing import NamedTuple

from gpu_check.parts import PARTS

FORMS = ("bfloat16", "float32", "bfloat16+xla", "float32+xla", "float16", "float16+xla")  # in order of worth
NETWORKS = ("xception_65", "resnet_v1_101_beta", "mobilenet_v2")


class Sizes(NamedTuple):
    """How much the parts do."""

    crop: int  # pixels of a side
    batch: int  # images of a training step that is measured
    steps: int  # of one turn
    turns: int
    batches: tuple  # numbers of images that inference is measured with
    runs: int  # of each of them
    small: tuple  # (crop, batch) where only the numbers matter


CARD = Sizes(crop=513, batch=16, steps=10, turns=3, batches=(1, 8, 32), runs=12, small=(257, 8))
QUICK = Sizes(crop=33, batch=2, steps=1, turns=1, batches=(1, 2), runs=1, small=(33, 2))
_PATIENCE = 5  # on a CPU; the limits of the parts are those of a card
_QUICK_FORMS = ("bfloat16", "float32")  # XLA takes a minute on a CPU, and the part jit compiles one network


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user asks for; see `parser` for what each option means."""

    quick: bool
    parts: tuple[str, ...]
    output: str
    seconds: float
    limits: dict[str, float]
    network: str
    forms: tuple[str, ...]
    networks: tuple[str, ...]
    crop: int
    batch: int
    camvid: str | None
    torch_python: str | None
    torch_path: str
    torch_libraries: str

    def limit(self, part):
        """Returns the seconds that each process of a part may take."""
        return self.limits.get(part, PARTS[part].limit * (_PATIENCE if self.quick else 1))

    @property
    def sizes(self):
        """The `Sizes` of this run."""
        sizes = QUICK if self.quick else CARD
        return sizes._replace(crop=self.crop or sizes.crop, batch=self.batch or sizes.batch)

    @property
    def benchmark_network(self):
        """The name in `deeplab.config.benchmark.NETWORKS` of the network that is measured."""
        return "mobilenet_v2" if self.quick else f"{self.network} + decoder"


def read(arguments):
    """Returns the `Options` of a command line; ends the process with code 2 and one line if something is wrong."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    limits = {}
    for item in given.pop("limit"):
        name, _, seconds = item.partition(":")
        if name not in PARTS or not seconds.isdecimal():
            parser.error(f"--limit={item}: expected PART:SECONDS, where PART is one of {', '.join(PARTS)}")
        limits[name] = float(seconds)
    given["parts"] = given["parts"] or _usual_parts(given)
    given["forms"] = given["forms"] or (_QUICK_FORMS if given["quick"] else FORMS)
    known = {"parts": PARTS, "forms": FORMS}
    for name, values in known.items():
        if unknown := [value for value in given[name] if value not in values]:
            parser.error(f"--{name}={','.join(given[name])}: {unknown[0]!r} is none of {', '.join(values)}")
    if given["camvid"] is None and not given["quick"] and {"camvid", "camvid_mixed"} & set(given["parts"]):
        parser.error("--parts=camvid: expected --camvid=SHARDS, too, the folder that build_camvid_data.py wrote")
    if given["torch_python"] and not shutil.which(given["torch_python"]):
        parser.error(f"--torch_python={given['torch_python']}: no such program")
    given["seconds"] = given["seconds"] or (float("inf") if given["quick"] else 360.0)
    given["output"] = given["output"] or tempfile.mkdtemp(prefix="gpu_check-")
    return Options(**given, limits=limits)


def _usual_parts(given):
    """Returns all parts if the check is quick, and otherwise those for which there is what they need."""
    without = () if given["quick"] else ("camvid_mixed",) if given["camvid"] else ("camvid", "camvid_mixed")
    return tuple(name for name in PARTS if name not in without)


def _parser():
    parts = "\n".join(f"  {name:14} {part.limit:4} s  {part.what}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        "scripts/gpu_check.sh",
        description=f"Checks and measures the project on a GPU.\n\nParts, and how long each may take:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="every part at small sizes, on a CPU where there is no GPU")
    add("--parts", type=_items, default=(), help="run only these, separated by commas; camvid_mixed is only run so")
    add("--output", help="folder for results.json, table.txt and the log of every part; otherwise a new one in /tmp")
    add("--seconds", type=float, help="end after this time (360; with --quick there is no end)")
    add("--limit", type=_items, default=(), help="other limits: PART:SECONDS, separated by commas")
    add("--network", choices=NETWORKS, default=NETWORKS[0], help="network, with decoder, that is measured")
    add("--forms", type=_items, default=(), help=f"training: these of {', '.join(FORMS)}, in this order")
    add("--networks", type=_items, default=("mobilenet_v2",), help="deterministic: networks; NAME+frozen freezes "
        "batch norms, NAME+xla compiles the step")  # fmt: skip
    add("--crop", type=int, default=0, help="training, inference: pixels of a side (513)")
    add("--batch", type=int, default=0, help="training: images of a step (16)")
    add("--camvid", help="camvid: folder of CamVid's shards; the part is left out without it")
    add("--torch_python", help="Python that has PyTorch and segmentation_models_pytorch; otherwise this Python")
    add("--torch_path", default="", help="PYTHONPATH of PyTorch's process, which sees nothing of this one's")
    add("--torch_libraries", default="", help="LD_LIBRARY_PATH of PyTorch's process, likewise")
    return parser


def _items(text):
    return tuple(item for item in text.split(",") if item)
