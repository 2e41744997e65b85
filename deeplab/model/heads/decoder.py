"""The decoder: features refined with those of earlier layers. Source: DeepLabv3+ paper, sec. 3.2."""

from tensorflow import keras

from deeplab.layers.basic import ResizeToScale

PROJECTION_FILTERS = 48  # DeepLabv3+ paper, table 1


def build(blocks, features, taps, image, config):
    """Refines `features` with the backbone's `taps` {stride: features} at every decoder stride, coarse to fine.

    Returns:
      (B, h, w, decoder_filters) at the last stride.
    """
    merge = _sum if config.decoder_use_sum_merge else _concatenate
    for stage, stride in enumerate(config.decoder_output_stride):
        suffix = f"_{stage}" if stage else ""
        resize = ResizeToScale(1 / stride, config.crop_size)
        features = merge(blocks, resize([features, image]), taps[stride], lambda x, r=resize: r([x, image]), suffix)
    return features


def _concatenate(blocks, features, tap, resize, suffix):
    config = blocks.config
    projection = resize(blocks.conv(tap, f"feature_projection0{suffix}", PROJECTION_FILTERS))
    x = keras.layers.Concatenate()([features, projection])
    if config.decoder_use_separable_conv:
        for i in range(2):
            x = blocks.split_separable(x, f"decoder_conv{i}{suffix}", config.decoder_filters)
        return x
    scope = f"decoder_conv0{suffix}"
    for i in (1, 2):
        x = blocks.conv(x, f"{scope}/{scope}_{i}", config.decoder_filters, 3)
    return x


def _sum(blocks, features, tap, resize, suffix):
    config = blocks.config
    filters = config.decoder_filters
    if config.decoder_output_is_logits:
        bare = {"norm": False, "activation": None}
        projection = blocks.conv(tap, f"feature_projection0{suffix}", filters, **bare)
        x = blocks.conv(features, f"decoder_conv0{suffix}", filters, **bare)
    else:
        projection = blocks.conv(tap, f"feature_projection0{suffix}", filters)
        if config.decoder_use_separable_conv:
            x = blocks.split_separable(features, f"decoder_split_sep_conv0{suffix}", filters)
        else:
            x = blocks.conv(features, f"decoder_conv0{suffix}", filters, 3)
    return blocks.add(x, resize(projection))
