"""What a network costs: multiply-adds of its convolutions, and memory while it is trained."""

import math
from collections.abc import Sequence

import tensorflow as tf

from deeplab.config.model import ModelConfig
from deeplab.layers.basic import DepthwiseConv, SeparableConv
from deeplab.layers.resize import scale_dimension
from deeplab.model.blocks import Parts
from deeplab.model.network import build_from, scaled_config


def count_multiply_adds(
    config: ModelConfig,
    input_shape: tuple[int, int, int] | None = None,
    eval_scales: Sequence[float] = (1.0,),
    add_flipped_images: bool = False,
    space_to_batch: bool = False,
) -> int:
    """Counts the multiply-adds of all convolutions of a network, for one image.

    Args:
      config: a `ModelConfig`.
      input_shape: (H, W, num_channels) of the image; None for 513x513 pixels.
      eval_scales: scales of multi-scale inference; the passes are summed.
      add_flipped_images: every pass is made for the mirrored image too.
      space_to_batch: count as the published tables do, where an atrous convolution with rate r on h x w cells has
        ceil(h / r) * r x ceil(w / r) * r outputs (its form in TensorFlow 1). Default: true multiply-adds.

    Returns:
      An int.
    """
    layers: dict = {}
    total, input_shape = 0, input_shape or (513, 513, config.num_channels)
    for scale in eval_scales:
        sized = scaled_config(config, scale) if scale != 1.0 else config
        shape = (*(scale_dimension(side, scale) for side in input_shape[:2]), input_shape[2])
        parts = Parts(sized, layers)
        build_from(parts, shape)
        total += sum(_multiply_adds(layer, output, space_to_batch) for layer, output in parts.convolutions)
    return total * (2 if add_flipped_images else 1)


def count_parameters(model):
    """Returns the number of trainable parameters of a model."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def bytes_to_train(model):
    """Estimates the memory that a training step needs: (bytes for each image, bytes whatever the batch is).

    The gradients need the outputs of the layers, so that all of them are in memory when the last one is computed. The
    weights come with their gradients, the momentum and what the update makes of them. Measured on an H100 with crops of
    513 and 16 images, the peak was 1.01 times this estimate (xception_65, float32), 0.88 (xception_65, bfloat16) and
    0.91 (mobilenet_v2, bfloat16).

    Args:
      model: as `build_model` returns it for training crops, so that its sizes are known.
    """
    outputs = [output for layer in model.layers for output in tf.nest.flatten(layer.output)]
    image = sum(math.prod(output.shape[1:]) * tf.as_dtype(output.dtype).size for output in outputs)
    weights = sum(math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for variable in model.variables)
    return image, 4 * weights


def _multiply_adds(layer, output_shape, space_to_batch):
    """Multiply-adds of one convolution with the output (B, h, w, C)."""
    _, height, width, channels = output_shape
    cells = height * width
    if space_to_batch:
        cells = math.prod(-(-side // rate) * rate for side, rate in zip((height, width), layer.rate, strict=True))
    if isinstance(layer, SeparableConv):
        return cells * math.prod(layer.kernel.shape) + height * width * math.prod(layer.pointwise.shape)
    if isinstance(layer, DepthwiseConv):
        return cells * layer.kernel_size**2 * channels
    return cells * math.prod(layer.kernel.shape)
