"""Atrous spatial pyramid pooling. Source: DeepLabv3, arXiv 1706.05587, sec. 3.3; separable as in DeepLabv3+, sec. 3."""

from tensorflow import keras

from deeplab.errors import UserError
from deeplab.layers.basic import AveragePooling, ResizeToScale
from deeplab.layers.stochastic import Dropout

DROPOUT = 0.1  # share of values dropped after the projection; the reference says "keep 0.9"


def build(blocks, features, image, config):
    """Builds the ASPP on the backbone's `features`; `image` gives the size where there is no crop size.

    Returns:
      (B, h, w, aspp_convs_filters), or the concatenated branches where `aspp_with_concat_projection` is off.
    """
    filters, relu = config.aspp_convs_filters, blocks.style.activation
    gate, branches = None, []
    if config.add_image_level_feature:
        pooled = image_pooling(blocks, features, image, config)
        if config.aspp_with_squeeze_and_excitation:
            gate = pooled
        else:
            branches.append(pooled)
    branches.append(blocks.conv(features, "aspp0", filters, activation=relu))
    for i, rate in enumerate(config.rates, 1):
        if config.aspp_with_separable_conv:
            branches.append(blocks.split_separable(features, f"aspp{i}", filters, rate))
        else:
            branches.append(blocks.conv(features, f"aspp{i}", filters, 3, rate=rate))
    x = keras.layers.Concatenate()(branches) if len(branches) > 1 else branches[0]
    if config.aspp_with_concat_projection:
        x = blocks.conv(x, "concat_projection", filters)
        x = dropout(blocks, "concat_projection", x)
    return x if gate is None else keras.layers.Multiply()([x, gate])


def image_pooling(blocks, features, image, config):
    """Averages the features over the image, or over a sliding window, and spreads the averages over the map again.

    Raises:
      UserError: images of a size that is known are smaller than the window.
    """
    window, size = config.image_pooling_crop_size, tuple(image.shape[1:3])
    if window and any(side is not None and side < least for side, least in zip(size, window, strict=True)):
        raise UserError(f"image_pooling_crop_size={window}: expected no more than the images have, {size}")
    pooled = AveragePooling(
        config.image_pooling_crop_size or config.crop_size, config.output_stride, config.image_pooling_stride
    )(features)
    if config.aspp_with_squeeze_and_excitation:
        kind = "gate" if config.image_se_uses_qsigmoid else "sigmoid"
        pooled = blocks.conv(pooled, "image_pooling", config.aspp_convs_filters, norm=False, activation=kind)
    else:  # The reference keeps the plain relu here even with bounded activations.
        pooled = blocks.conv(pooled, "image_pooling", config.aspp_convs_filters, activation="relu")
    return ResizeToScale(1 / config.output_stride, config.crop_size)([pooled, image])


def dropout(blocks, scope, x):
    """Drops values in training. As in the reference this does not depend on `fine_tune_batch_norm`."""
    return blocks.layer(f"{scope}/dropout", lambda name: Dropout(DROPOUT, name=name))(x)
