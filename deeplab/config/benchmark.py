"""Options of benchmark, and the networks that it measures."""

import dataclasses

from deeplab.config import effects
from deeplab.config.model import PROGRAM_DEFAULTS, ModelConfig
from deeplab.config.options import Checked, GpuConfig, gpu_options, option, require, require_pair
from deeplab.config.training import MIXED_PRECISIONS

_DECODER = {**PROGRAM_DEFAULTS, "atrous_rates": (6, 12, 18), "decoder_output_stride": (4,)}
NETWORKS = {
    "mobilenet_v2": ModelConfig(model_variant="mobilenet_v2", **PROGRAM_DEFAULTS),
    "mobilenet_v2 + decoder": ModelConfig(model_variant="mobilenet_v2", **_DECODER),
    "xception_65 + decoder": ModelConfig(model_variant="xception_65", **_DECODER),
    "resnet_v1_101_beta + decoder": ModelConfig(model_variant="resnet_v1_101_beta", **_DECODER),
}


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """What to measure"""

    cost: bool = option(False, "Compare multiply-adds of the published networks with the published numbers.")
    input: bool = option(
        False, "Images per second and core of the input pipeline, for images like those of CamVid, VOC and Cityscapes."
    )
    export: bool = option(False, "Time that one image takes in every export format and engine.")
    training: bool = option(False, "Time of a training step, on one device, on two devices and with Keras' fit.")
    scaling: bool = option(
        False, "How times grow with image size, output stride, passes and batch size, for training, too."
    )
    startup: bool = option(
        False, "Seconds until --help appears, the first training step ends and the labels of one photograph are there."
    )
    programs: bool = option(
        False,
        "Images per second of predict, eval, vis and the server, beside the exported network alone on the same images.",
    )
    checkpoint_dir: str | None = option(
        None,
        "export, programs: measure this network, a --train_logdir, or a folder or file with weights. Not given: "
        "--networks.",
    )
    networks: tuple[str, ...] = option(
        tuple(NETWORKS), "export, scaling, programs: measure these networks, with random weights."
    )
    dataset_dir: str | None = option(
        None, "programs: folder of TFRecord shards whose photographs are read. Not given: photographs are drawn."
    )
    eval_split: str = option("val", "programs: split of --dataset_dir.")
    images: int = option(60, "programs: how many photographs at most.")
    size: tuple[int, ...] = option((513, 513), "export: height and width of the image.")
    runs: int = option(20, "How often each candidate is timed. One run of training is four steps.")
    precisions: tuple[str, ...] = option(("none",), "training: measure these values of --mixed_precision.")
    devices: tuple[int, ...] = option(
        (),
        "training: measure these numbers of devices, such as 1,2,4,8: GPUs, or logical devices of the CPU when there "
        "is no GPU. Every device computes the same number of images.",
    )
    jit_compile: bool = option(
        False, "training: also time our step compiled with XLA. Compiling takes minutes for each precision."
    )
    json: str | None = option(None, "Write the results to this file.")
    compare: str | None = option(None, "Print the results beside those in this file, which --json wrote earlier.")
    profile_logdir: str | None = option(None, "export, training: write a TensorBoard trace of one run to this folder.")
    quick: bool = option(
        False,
        "cost: leave out evaluations at many scales, which take a minute to build. input: read a tenth of the images.",
    )
    gpu: GpuConfig = gpu_options(tf32=True)

    def check(self):
        require_pair("size", self.size)
        require(self.runs > 0, "runs", self.runs, "at least 1")
        require(self.images > 2, "images", self.images, "at least 3")
        require(set(self.networks) <= set(NETWORKS), "networks", self.networks, f"some of {', '.join(NETWORKS)}")
        expected = f"some of {MIXED_PRECISIONS}"
        require(set(self.precisions) <= set(MIXED_PRECISIONS), "precisions", self.precisions, expected)
        require(all(count > 0 for count in self.devices), "devices", self.devices, "numbers from 1 on")
        measured = (self.cost, self.input, self.export, self.training, self.scaling, self.startup, self.programs)
        require(any(measured), "cost", False, "something to measure: --cost, --input, --export, --training, ...")
        effects.refuse_without_effect(self, effects.BENCHMARK)
