"""What the names and shapes of a network's variables tell about it."""

import dataclasses
import re

from deeplab.checkpoints.frozen_graph import LEAVES

_SCOPES = {  # outermost scope of a backbone: model_variant, where all networks of the scope are the same
    **{name: name for name in ("xception_41", "xception_65", "xception_71")},
    "MobilenetV2": "mobilenet_v2",
    "MobilenetEdgeTPU": "mobilenet_edgetpu",
    "pnasnet": "nas_pnasnet",
    "hnasnet": "nas_hnasnet",
}
_SUM = "decoder/decoder_conv0/biases"  # of decoders that add projections with one channel per class
_LEAVES = [name for name in LEAVES if not name.startswith("moving_")]  # trained; not averages, slots and counters


def as_flags(config, defaults):
    """Returns the flags, as text, of the options in which a `ModelConfig` differs from another one.

    The number of classes, which the data set decides, and the crop size, which has flags of other names, are left out.
    """
    flags = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(defaults, field.name) or field.name in ("num_classes", "crop_size"):
            continue
        if isinstance(value, bool):
            flags.append(f"--{'' if value else 'no'}{field.name}")
        else:
            items = value if isinstance(value, tuple) else ("" if value is None else value,)
            flags.append(f"--{field.name}={','.join(map(str, items))}")
    return flags


def describe(file):
    """Returns the lines about the network of a `sources.WeightsFile`."""
    values = {name: value for name, value in file.values.items() if getattr(value, "ndim", None) is not None}
    scopes = {name.partition("/")[0] for name in values}
    variant = next(filter(None, (_variant(scope, values) for scope in sorted(scopes))), "")
    own = [value for name, value in values.items() if name.rpartition("/")[2] in _LEAVES]
    counted = (
        f"variables: {len(values)}, of which {len(own)} of the network with {sum(v.size for v in own):,} parameters"
    )
    if not variant:
        some = ", ".join(sorted(values)[:3]) or "none"
        return [
            "network: unknown, since no variable bears the name of a backbone",
            f"variables: {len(values)} ({some})",
        ]
    lines = [f"network, by the names of its variables: {' '.join([f'--model_variant={variant}', *_options(values)])}"]
    logits = values.get("logits/semantic/weights", values.get(_SUM))
    heads = _heads(scopes)
    lines += [f"heads: {heads}"] if heads else []
    lines += ["classes: none, these are weights of a backbone" if logits is None else f"classes: {logits.shape[-1]}"]
    return [*lines, "not recorded: output stride, atrous rates and names of classes", counted]


def _variant(scope, values):
    """Returns the model_variant of the backbone that has this scope, or ""."""
    if scope in _SCOPES:
        return _SCOPES[scope]
    if re.fullmatch(r"resnet_v1_\d+", scope):
        return scope + ("_beta" if f"{scope}/conv1_1/weights" in values else "")
    if scope == "MobilenetV3":
        is_large = any(name.startswith("MobilenetV3/expanded_conv_11/") for name in values)
        return f"mobilenet_v3_{'large' if is_large else 'small'}_seg"
    return ""


def _options(values):
    """Returns flags that shapes tell."""
    first = values.get("MobilenetV2/Conv/weights")
    multiplier = None if first is None else first.shape[-1] / 32
    flags = [] if multiplier in (None, 1.0) else [f"--depth_multiplier={multiplier:g}"]
    return flags + (["--decoder_use_sum_merge", "--decoder_output_is_logits"] if _SUM in values else [])


def _heads(scopes):
    branches = sorted({scope.partition("_")[0] for scope in scopes if re.match(r"aspp[1-9]", scope)})
    found = ["image pooling"] if "image_pooling" in scopes else []
    found += [f"ASPP with {len(branches)} atrous branches"] if branches else []
    found += ["dense prediction cell"] if any(scope.startswith("meta_architecture") for scope in scopes) else []
    found += ["decoder"] if "decoder" in scopes else []
    return ", ".join(found)
