"""From what a caller says to a `ModelConfig`: a configuration, the name of a backbone or model, and options."""

import dataclasses

from deeplab.config import presets
from deeplab.config.model import MODEL_VARIANTS, ModelConfig
from deeplab.errors import UserError
from deeplab.files import nearest

_FIELDS = tuple(field.name for field in dataclasses.fields(ModelConfig))


def configured(config, options=None) -> ModelConfig:
    """Returns the `ModelConfig` that a caller describes.

    Args:
      config: a `ModelConfig`, one of its model variants, or the name of a published model.
      options: {field of ModelConfig: value}, used in place of those of `config`.

    Raises:
      UserError: a name is not known (the message names the nearest ones), or a value is illegal.
    """
    options = dict(options or {})
    for name in options:
        if name not in _FIELDS:
            known = nearest.hint(name, [*_FIELDS, "input_shape", "upsample_logits"])
            raise UserError(
                f"{name}={options[name]!r}: not an option of a network{known or '; see deeplab.ModelConfig'}"
            )
    if isinstance(config, ModelConfig):
        return dataclasses.replace(config, **options)
    if not isinstance(config, str):
        raise UserError(
            f"config: got {type(config).__name__}; expected a deeplab.ModelConfig, or a name such as 'mobilenet_v2'"
        )
    if config in presets.MODELS:
        return dataclasses.replace(presets.MODELS[config].config, **options)
    if config not in MODEL_VARIANTS:
        known = nearest.hint(config, [*MODEL_VARIANTS, *presets.MODELS])
        raise UserError(
            f"{config!r}: no such network; expected one of {', '.join(MODEL_VARIANTS)}, or a published model of "
            f"deeplab.MODELS{known}"
        )
    return ModelConfig(**{"model_variant": config, **options})


def checked_shape(shape, num_channels=3) -> tuple[int | None, int | None, int]:
    """Returns the input shape of a network as a tuple; None stands for images of any size.

    Raises:
      UserError: it is not (height or None, width or None, num_channels).
    """
    expected = f"expected (height, width, {num_channels}), with None for sides that vary"
    if shape is None:
        return None, None, num_channels
    if not isinstance(shape, (tuple, list)) or len(shape) != 3 or shape[2] != num_channels:
        raise UserError(f"input_shape={shape!r}: {expected}; num_channels={num_channels} is an option of the network")
    if not all(side is None or (isinstance(side, int) and side > 0) for side in shape[:2]):
        raise UserError(f"input_shape={shape!r}: {expected}")
    return tuple(shape)
