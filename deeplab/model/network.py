"""From a configuration to a network: scaling -> backbone -> head -> logits. Read this first.

Source: Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
arXiv 1802.02611; every detail as the reference builds it.
"""

import dataclasses

from tensorflow import keras

from deeplab.config.model import ModelConfig
from deeplab.layers.basic import Normalize, ResizeToScale
from deeplab.layers.resize import scale_dimension
from deeplab.model.backbones import BACKBONES
from deeplab.model.blocks import Blocks, Style, truncated_normal
from deeplab.model.heads import aspp, decoder, dense_prediction_cell

HEAD_STYLE = Style(  # with every backbone
    epsilon=1e-5,
    decay=0.9997,
    depthwise_initializer=truncated_normal(0.33),
    pointwise_initializer=truncated_normal(0.06),
)


@dataclasses.dataclass
class _Origin:
    """What a model was built from; kept on the model so that it can be built again for other sizes."""

    config: object
    layers: dict  # {name: layer}, shared by all models of these weights
    calls: list  # (convolution layer, shape of its output) of this model
    cuts: list  # for each scale of the pyramid [(input pixels per cell, what the head reads of the backbone)]
    at_scale: dict = dataclasses.field(default_factory=dict)


def build_model(config: ModelConfig, input_shape: tuple[int | None, int | None, int] = (None, None, 3)) -> keras.Model:
    """Builds the network that `config` describes.

    Args:
      config: a `ModelConfig`.
      input_shape: (H, W, 3); None for sides that vary.

    Returns:
      A functional keras.Model. Input: (B, H, W, 3) RGB in [0, 255], uint8 or float (scaling is part of the model).
      Output: (B, h, w, num_classes) float32 logits at the smallest decoder stride, else at the output stride, not
      upsampled; those of an image pyramid are merged.

    Raises:
      UserError: a part of the configuration that can't be built, e.g. an unreadable dense prediction cell.
    """
    return build_with({}, config, input_shape)


def config_of(model):
    """Returns the `ModelConfig` that a model of `build_model` was built from."""
    return model.origin.config


def scale_outputs(model):
    """Returns the same network with all its logits as outputs, for the losses of an image pyramid.

    Returns:
      A keras.Model with the outputs {"merged_logits": logits} and, where there is an image pyramid, one more for each
      scale, e.g. "logits_0.50"; all of one size.
    """
    scales = config_of(model).image_pyramid or ()
    outputs = {name: model.get_layer(name).output for name in map(_scale_name, scales if len(scales) > 1 else ())}
    return keras.Model(model.input, {"merged_logits": model.output, **outputs})


def at_scale(model, scale):
    """Returns the same network (and weights) for one image that was resized by `scale` beforehand; no pyramid.

    Windows and sizes that the configuration gives in pixels are scaled alike. Its input may have any size, unless the
    dense prediction cell needs to know it.
    """
    origin = model.origin
    if scale not in origin.at_scale:
        cell = origin.config.dense_prediction_cell_json
        fixed = bool(cell) and dense_prediction_cell.needs_crop_size(dense_prediction_cell.read(cell))
        config = scaled_config(origin.config, scale)
        config = config if fixed else dataclasses.replace(config, crop_size=None)
        origin.at_scale[scale] = build_with(origin.layers, config, (*(config.crop_size or (None, None)), 3))
    return origin.at_scale[scale]


def scaled_config(config, scale):
    """Returns the configuration for a single image that was resized by `scale`: sizes in pixels change alike."""
    return dataclasses.replace(
        config,
        image_pyramid=None,
        crop_size=_scaled(config.crop_size, scale),
        image_pooling_crop_size=_scaled(config.image_pooling_crop_size, scale),
    )


def split(model):
    """Splits a model between backbone and head.

    Returns:
      (backbone, head, strides): two keras.Models of the same weights, backbone: images -> a list of features,
      head: [images (only their size matters), *features] -> logits, and the input pixels per cell of each of the
      features. None where that can't be done: an image pyramid, or a model for images of one size.
    """
    cuts = model.origin.cuts
    if len(cuts) > 1 or model.input_shape[1:3] != (None, None):
        return None
    strides, features = zip(*cuts[0], strict=True)
    return keras.Model(model.input, list(features)), keras.Model([model.input, *features], model.output), strides


def build_with(layers, config, input_shape):
    """Builds the network from the {name: layer} that there are; those that are missing are made and added."""
    calls, cuts = [], []
    images = keras.Input(input_shape, name="images")
    scales = config.image_pyramid or (1.0,)
    logits = [_scale_logits(config, images, scale, stage, layers, calls, cuts) for stage, scale in enumerate(scales)]
    largest = max(1.0, *scales) / config.logits_stride  # the scales' logits are compared at one size
    names = ["merged_logits"] if len(scales) == 1 else map(_scale_name, scales)
    sized = [
        ResizeToScale(largest, config.crop_size, dtype="float32", name=name)([x, images])
        for x, name in zip(logits, names, strict=True)
    ]
    if len(sized) > 1:
        merge = {"max": keras.layers.Maximum, "avg": keras.layers.Average}[config.merge_method]
        merged = merge(name="merged_logits", dtype="float32")(sized)
    else:
        merged = sized[0]
    model = keras.Model(images, merged, name=config.model_variant)
    model.origin = _Origin(config, layers, calls, cuts)
    return model


def _scale_logits(config, images, scale, stage, layers, calls, cuts):
    """Returns the logits of one scale of the pyramid, at the resolution at which they arise."""
    if scale != 1.0:
        images = ResizeToScale(scale, config.crop_size)([images, images])
        config = scaled_config(config, scale)
    backbone = BACKBONES[config.model_variant]
    scaling = backbone.scaling
    pixels = layers.setdefault("pixels", Normalize(scaling.scale, scaling.offset, name="pixels"))(images)
    features, taps = backbone.build(Blocks(config, backbone.style, layers, backbone.scope, calls), pixels, config)
    cuts.append([(config.output_stride, features), *((s, taps[s]) for s in config.decoder_output_stride or ())])
    relu = "relu6" if config.use_bounded_activation else "relu"
    blocks = Blocks(config, dataclasses.replace(HEAD_STYLE, activation=relu), layers, calls=calls)
    if config.aspp_with_batch_norm:
        if config.dense_prediction_cell_json:
            cell = f"meta_architecture_{stage}" if stage else "meta_architecture"  # as the reference: not shared
            features = dense_prediction_cell.build(blocks.within(cell, activation="relu"), features, images, config)
        else:
            features = aspp.build(blocks, features, images, config)
    if config.decoder_output_stride:
        features = decoder.build(blocks.within("decoder"), features, taps, images, config)
    return features if config.decoder_output_is_logits else _logits(blocks, features, config)


def _logits(blocks, features, config):
    """One convolution; in the form of DeepLab v2 one for each atrous rate, summed."""
    how = {"norm": False, "activation": None, "initializer": truncated_normal(0.01)}
    rates = (1,) if config.aspp_with_batch_norm else config.rates or (1,)
    branches = []
    for i, rate in enumerate(rates):
        scope = f"logits/semantic_{i}" if i else "logits/semantic"
        branches.append(blocks.conv(features, scope, config.num_classes, config.logits_kernel_size, rate=rate, **how))
    return keras.layers.Add()(branches) if len(branches) > 1 else branches[0]


def _scaled(size, scale):
    return size and tuple(scale_dimension(side, scale) for side in size)


def _scale_name(scale):
    return f"logits_{scale:.2f}"
