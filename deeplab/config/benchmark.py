"""Options of benchmark.py, and the networks that it measures."""

import dataclasses
from typing import Any

from deeplab.config.inference import check_crop
from deeplab.config.model import ModelConfig
from deeplab.config.options import Checked, option, require

_HEAD: dict[str, Any] = {"num_classes": 21, "output_stride": 16}
_DECODER = {**_HEAD, "atrous_rates": (6, 12, 18), "decoder_output_stride": (4,)}
NETWORKS = {
    "mobilenet_v2": ModelConfig(model_variant="mobilenet_v2", **_HEAD),
    "mobilenet_v2 + decoder": ModelConfig(model_variant="mobilenet_v2", **_DECODER),
    "xception_65 + decoder": ModelConfig(model_variant="xception_65", **_DECODER),
    "resnet_v1_101_beta + decoder": ModelConfig(model_variant="resnet_v1_101_beta", **_DECODER),
}
_PRECISIONS = ("none", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """What to measure"""

    cost: bool = option(False, "Multiply-adds of the published networks beside the published figures.")
    input: bool = option(False, "Images per second of the input pipeline, at 480x360 and 1024x2048.")
    export: bool = option(False, "Time of one image in every export format and engine.")
    training: bool = option(False, "Time of a training step, on one and two devices and by Keras' fit.")
    scaling: bool = option(False, "Time against pixels, output stride, passes and batch, of training, too.")
    startup: bool = option(False, "Seconds until --help, the first training step, the first answer.")
    checkpoint_dir: str | None = option(
        None, "export: a --train_logdir, or a folder or file with weights; not given: networks with random weights."
    )
    networks: tuple[str, ...] = option(tuple(NETWORKS), "export, scaling: which networks with random weights.")
    size: tuple[int, ...] = option((513, 513), "export: height and width of the image.")
    runs: int = option(20, "How often each is timed; of training, turns of four steps.")
    precisions: tuple[str, ...] = option(("none",), "training: values of --mixed_precision to measure.")
    json: str | None = option(None, "Write the figures to this file.")
    compare: str | None = option(None, "Print the figures beside those of this file, which --json wrote earlier.")
    profile_logdir: str | None = option(None, "export, training: write a TensorBoard trace of one run to this folder.")
    quick: bool = option(
        False,
        "Cost: leave out the evaluations at many scales, which take a minute to build. Input: a tenth of the images.",
    )

    def check(self):
        check_crop("size", self.size)
        require(self.runs > 0, "runs", self.runs, "at least 1")
        require(set(self.networks) <= set(NETWORKS), "networks", self.networks, f"some of {', '.join(NETWORKS)}")
        require(set(self.precisions) <= set(_PRECISIONS), "precisions", self.precisions, f"some of {_PRECISIONS}")
        measured = (self.cost, self.input, self.export, self.training, self.scaling, self.startup)
        require(any(measured), "cost", False, "something to measure: --cost, --input, --export, --training, ...")
