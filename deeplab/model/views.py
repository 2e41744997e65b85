"""Other networks with the weights of a network: at another scale, of any size, in two halves, with other layers.

A model of `build_model` remembers its `Parts`: the layers by name. Building again from the same layers gives another
Keras model of the same variables, so that nothing is copied and training one trains all.
"""

import dataclasses

from tensorflow import keras

from deeplab.config.model import ModelConfig
from deeplab.model.blocks import Parts
from deeplab.model.heads import dense_prediction_cell
from deeplab.model.network import MERGED, DeepLab, build_from, config_of, scale_name, scaled_config


def layers_of(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns {name: layer} of the layers that have weights or state of their own."""
    return dict(model.parts.layers)


def with_layers(model: keras.Model, layers: dict[str, keras.layers.Layer]) -> keras.Model:
    """Returns the same network, for images of the same size, with `layers` {name: layer} in place of its own."""
    return build_from(Parts(config_of(model), layers), tuple(model.input_shape[1:]))


def scale_outputs(model: keras.Model) -> keras.Model:
    """Returns the same network with all its logits as outputs, for the losses of an image pyramid.

    Returns:
      A keras.Model with the outputs {"merged_logits": logits} and, where there is an image pyramid, one more for each
      scale, e.g. "logits_0.50"; all of one size.
    """
    scales = config_of(model).image_pyramid or ()
    outputs = {name: model.get_layer(name).output for name in map(scale_name, scales if len(scales) > 1 else ())}
    return keras.Model(model.input, {MERGED: model.get_layer(MERGED).output, **outputs})


def with_small_logits(model: keras.Model) -> keras.Model:
    """Returns the same network with logits as it computes them, smaller than the input; see `upsample_logits`."""
    parts = getattr(model, "parts", None)
    if parts is None or not parts.upsample_logits:
        return model
    parts = dataclasses.replace(parts, upsample_logits=False)
    return DeepLab(model.input, model.get_layer(MERGED).output, model.name, parts=parts)


def at_scale(model: keras.Model, scale: float) -> keras.Model:
    """Returns the same network for one image that was resized by `scale` beforehand, without image pyramid.

    Windows and sizes that the configuration gives in pixels are scaled alike. Its input may have any size, unless the
    dense prediction cell needs to know the size.
    """
    parts = model.parts
    if scale not in parts.scaled:
        config = any_size_config(scaled_config(parts.config, scale))
        parts.scaled[scale] = build_from(Parts(config, parts.layers), _input_shape(config))
    return parts.scaled[scale]


def any_size(model: keras.Model) -> keras.Model:
    """Returns the same network for images of any size, unless its dense prediction cell must know the size."""
    config = any_size_config(config_of(model))
    return build_from(Parts(config, model.parts.layers), _input_shape(config))


def any_size_config(config: ModelConfig) -> ModelConfig:
    """Returns the configuration without crop size, unless its dense prediction cell must know one."""
    cell = config.dense_prediction_cell_json
    if cell and dense_prediction_cell.needs_crop_size(dense_prediction_cell.read(cell)):
        return config
    return dataclasses.replace(config, crop_size=None)


def split(model: keras.Model) -> tuple[keras.Model, keras.Model, tuple[int, ...]] | None:
    """Splits a network between backbone and head.

    Returns:
      (backbone, head, strides): two keras.Models of the same weights and the strides of the features between them.
      backbone: images -> a list of features. head: [images (only their size matters), *features] -> logits. strides:
      input pixels per cell of each of the features. None where a network cannot be split: it has an image pyramid, or
      it takes images of one size only.
    """
    head_inputs = model.parts.head_inputs
    if len(head_inputs) > 1 or model.input_shape[1:3] != (None, None):
        return None
    strides, features = zip(*head_inputs[0], strict=True)
    logits = model.get_layer(MERGED).output
    return keras.Model(model.input, list(features)), keras.Model([model.input, *features], logits), strides


def _input_shape(config):
    return (*(config.crop_size or (None, None)), config.num_channels)
