"""From a configuration to a network: figure 2 of the paper. Read this first.

Source: Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
arXiv 1802.02611; every detail as the reference builds it.
"""

import dataclasses
from typing import Any

from tensorflow import keras

from deeplab.config.model import ModelConfig
from deeplab.errors import UserError
from deeplab.layers.basic import Normalize, ResizeLike, ResizeToScale
from deeplab.layers.resize import scale_dimension
from deeplab.model.backbones import BACKBONES
from deeplab.model.blocks import Blocks, Parts, Style, truncated_normal
from deeplab.model.configured import checked_shape, configured
from deeplab.model.heads import aspp, decoder, dense_prediction_cell
from deeplab.model.segmentation_model import FIRST_LAYER, SegmentationModel, described, rebuilt

HEAD_STYLE = Style(  # The head has the same habits with every backbone.
    epsilon=1e-5,
    decay=0.9997,
    depthwise_initializer=truncated_normal(0.33),
    pointwise_initializer=truncated_normal(0.06),
)
MERGED = "merged_logits"  # name of the layer that gives the logits, as in the reference
UPSAMPLED = "upsampled_logits"  # name of the layer after it, with `upsample_logits`


@keras.utils.register_keras_serializable("deeplab")
class DeepLab(SegmentationModel):
    """What `build_model` returns: a functional keras.Model with `config`, `backbone` and `freeze_backbone()`."""

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns the network that `get_config` described, with new weights; Keras calls it to load a file."""
        return rebuilt(config, build_from) if "model" in config else super().from_config(config, custom_objects)

    @staticmethod
    def recognised(inputs, outputs):
        """Returns (`Parts` or None, inputs, outputs): of the same network, built again, if only its layers are clones.

        Other layers than those of the network may be part of what Keras gives; then nothing is built again.
        """
        given = keras.Model(inputs, outputs).layers
        marker = next((layer for layer in given if layer.name == FIRST_LAYER), None)
        if getattr(marker, "network", None) is None:
            return None, inputs, outputs
        parts = described(marker.network)
        parts.layers.update((layer.name, layer) for layer in given if layer.weights or layer is marker)
        again = build_from(parts, tuple(given[0].output.shape[1:]))
        if [type(layer) for layer in again.layers] != [type(layer) for layer in given]:
            return None, inputs, outputs
        return parts, again.input, again.output


def build_model(
    config: ModelConfig | str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    upsample_logits: bool = False,
    **options: Any,
) -> DeepLab:
    """Builds the network that `config` describes.

    Args:
      config: a `ModelConfig`, the name of a backbone such as "mobilenet_v2", or the name of a published model in
        `deeplab.MODELS`.
      input_shape: (H, W, num_channels); None for sides that vary. By default the model takes images of any size.
      upsample_logits: whether the logits get the size of the input, as most code for Keras expects, in place of the
        size in which the network computes them. `predict_labels`, training and exports do the same with both.
      options: fields of `ModelConfig`, used in place of those of `config`: `num_classes=7, output_stride=16`. For the
        name of a backbone, others have the defaults of `ModelConfig`.

    Returns:
      A functional keras.Model. Input: (B, H, W, num_channels) in [0, 255], uint8 or float, RGB for 3 channels; scaling
      the pixels is part of the model. Output: (B, h, w, num_classes) float32 logits at the smallest decoder stride, or
      at the output stride where there is no decoder; (B, H, W, num_classes) with `upsample_logits`. The logits of an
      image pyramid are merged.

    Raises:
      UserError: an option or a name is not known, or a part of the configuration cannot be built, e.g. an unreadable
        dense prediction cell.
    """
    network = configured(config, options)
    shape = checked_shape(input_shape, network.num_channels)
    return build_from(Parts(network, upsample_logits=bool(upsample_logits)), shape)


def build_from(parts: Parts, input_shape: tuple[int | None, int | None, int]) -> DeepLab:
    """Builds the network of `parts.config` from the layers that `parts` has already; missing layers are made and added.

    Networks that are built from the same layers share their weights; see `views`.
    """
    images = keras.Input(input_shape, name="images")
    scales = parts.config.image_pyramid or (1.0,)
    logits = [_encode_and_decode(parts, images, scale, stage) for stage, scale in enumerate(scales)]
    if len(logits) > 1:
        merge = {"max": keras.layers.Maximum, "avg": keras.layers.Average}[parts.config.merge_method]
        logits = [merge(name=MERGED, dtype="float32")(logits)]
    if parts.upsample_logits:
        logits = [ResizeLike(dtype="float32", name=UPSAMPLED)([logits[0], images])]
    return DeepLab(images, logits[0], parts.config.model_variant, parts=parts)


def config_of(model: keras.Model) -> ModelConfig:
    """Returns the `ModelConfig` that a model of `build_model` was built from; a UserError if it is another model."""
    if not hasattr(model, "parts"):
        raise UserError(
            f"{type(model).__name__} {getattr(model, 'name', '')!r}: expected a model of deeplab.build_model or "
            "deeplab.load, which remembers its configuration; a model that was made from its layers does not"
        )
    return model.parts.config


def _encode_and_decode(parts, images, scale, stage):
    """Sends images through figure 2 of the paper: backbone, context at several rates, decoder, logits.

    Args:
      parts: `Parts`, which gets the layers and remembers what the head reads.
      images: (B, H, W, num_channels), pixels 0..255.
      scale, stage: the factor by which images are resized first (1.0 without a pyramid), and its place in the pyramid.

    Returns:
      Logits (B, h, w, num_classes) float32, of one size for all scales of a pyramid.
    """
    config, seen = parts.config, images
    if scale != 1.0:
        config, seen = scaled_config(config, scale), ResizeToScale(scale, config.crop_size)([images, images])
    backbone = BACKBONES[config.model_variant]
    # Encoder: features with one cell per `output_stride` pixels. The taps {stride: features} come from earlier layers
    # and are finer; the decoder takes the outlines of objects from them.
    normalization = backbone.normalization_of(config.num_channels)
    pixels = parts.layer(FIRST_LAYER, lambda name: Normalize(*normalization, name=name))(seen)
    features, taps = backbone.build(Blocks(parts, backbone.style, backbone.scope), pixels, config)
    strides = config.decoder_output_stride or ()
    parts.head_inputs.append([(config.output_stride, features), *((stride, taps[stride]) for stride in strides)])
    # Context: parallel atrous convolutions let every cell see its surroundings at several distances.
    head = Blocks(parts, _head_style(config))
    if config.aspp_with_batch_norm and config.dense_prediction_cell_json:
        scope = f"meta_architecture_{stage}" if stage else "meta_architecture"  # scales do not share the cell
        features = dense_prediction_cell.build(head.within(scope, activation="relu"), features, seen, config)
    elif config.aspp_with_batch_norm:
        features = aspp.build(head, features, seen, config)
    if strides:
        features = decoder.build(head.within("decoder"), features, taps, seen, config)
    logits = features if config.decoder_output_is_logits else _classify(head, features, config)
    # Size: one for all scales of a pyramid, so that their logits can be compared cell by cell.
    scales = parts.config.image_pyramid or (1.0,)
    name = scale_name(scale) if len(scales) > 1 else MERGED
    resize = ResizeToScale(max(1.0, *scales) / config.logits_stride, parts.config.crop_size, dtype="float32", name=name)
    return resize([logits, images])


def _head_style(config):
    return dataclasses.replace(HEAD_STYLE, activation="relu6" if config.use_bounded_activation else "relu")


def _classify(head, features, config):
    """Returns the logits of every cell: one convolution, or as in DeepLab v2 the sum of one for each atrous rate."""
    how = {"norm": False, "activation": None, "initializer": truncated_normal(0.01)}
    rates = (1,) if config.aspp_with_batch_norm else config.rates or (1,)
    branches = []
    for i, rate in enumerate(rates):
        scope = f"logits/semantic_{i}" if i else "logits/semantic"
        branches.append(head.conv(features, scope, config.num_classes, config.logits_kernel_size, rate=rate, **how))
    return keras.layers.Add()(branches) if len(branches) > 1 else branches[0]


def scaled_config(config: ModelConfig, scale: float) -> ModelConfig:
    """Returns the configuration for one image that was resized by `scale`: sizes in pixels are scaled alike."""
    return dataclasses.replace(
        config,
        image_pyramid=None,
        crop_size=_scaled(config.crop_size, scale),
        image_pooling_crop_size=_scaled(config.image_pooling_crop_size, scale),
    )


def _scaled(size, scale):
    return size and tuple(scale_dimension(side, scale) for side in size)


def scale_name(scale):
    """Returns the name of the logits of one scale of an image pyramid, as in the reference: "logits_0.50"."""
    return f"logits_{scale:.2f}"
