"""The parts of the check, in order of worth."""

from typing import NamedTuple


class Part(NamedTuple):
    """One part: what --help says, the seconds that each of its processes may take, and these processes."""

    what: str
    limit: int
    processes: tuple  # keys of `work.FUNCTIONS`, or TORCH


TORCH = "torch"  # the process of PyTorch, which runs torch_peer.py with another environment
PARTS = {
    "device": Part("card, driver, versions, TF32", 40, ("device",)),
    "export": Part("exports and the server run; labels equal the network's", 75, ("export",)),
    "goldens": Part("logits and labels of the original's networks, without TF32", 60, ("goldens",)),
    "loss": Part("losses and gradients of the original, without TF32", 60, ("loss",)),
    "jit": Part("a step that XLA compiles: the same loss; time", 60, ("jit",)),
    "deterministic": Part("a resumed training ends with the same bits", 60, ("deterministic",)),
    "training": Part("time of a training step, beside PyTorch", 180, ("training", TORCH)),
    "inference": Part(
        "time from images to labels, beside PyTorch", 120, ("inference", "inference_without_tf32", TORCH)
    ),
    "depthwise": Part("time of both forms of a depthwise convolution in a training", 90, ("depthwise",)),
    "mirrored": Part("one device, MirroredStrategy, two logical devices: the same weights", 90, ("mirrored",)),
    "memory": Part("running out of memory is one line", 60, ("memory",)),
    "camvid": Part("CamVid's recipe for two minutes, and its score", 210, ("camvid",)),
    "camvid_mixed": Part("the same in bfloat16 and float16: within 1 point", 540, ("camvid_mixed",)),
}
