"""What the original computed (tests/golden), computed here without TF32."""

import numpy as np

import deeplab
from gpu_check import common, rows
from helpers import golden_cases
from helpers.golden_training import MODES, NAMES, Subject

_TOLERANCE, _SAME_LABELS = 2e-4, 0.999  # as in tests/model/test_golden_cases.py
_FIRST = ("xception_65_os16_aspp_decoder", "mobilenet_v2_os16", "resnet_v1_101_beta_os16_mg124")
_QUICK = "mobilenet_v2_os16"
_SECONDS = 8  # a case takes about as long on a card


def check_networks(options):
    """Sends for every case how far logits and labels are from the original's."""
    common.use_tf32(False)
    names = [_QUICK] if options.quick else [*_FIRST, *(name for name in golden_cases.NAMES if name not in _FIRST)]
    for name in names:
        if rows.seconds_left() < _SECONDS:
            rows.send(name, skipped="the limit of this part is near")
            continue
        case, arrays = golden_cases.load(name)
        model = deeplab.build_model(golden_cases.config_of(case), arrays["images"].shape[1:])
        deeplab.restore(model, golden_cases.source_of(case))
        logits, expected = np.asarray(model(arrays["images"])), arrays["logits"]
        off = np.abs(logits - expected).max() / np.abs(expected).max()
        same = np.mean(np.asarray(deeplab.predict_labels(model, arrays["images"])[0]) == arrays["predictions"])
        figures = {"worst_logit_off": off, "allowed": _TOLERANCE, "labels_equal_percent": 100 * same}
        rows.send(name, ok=off <= _TOLERANCE and same >= _SAME_LABELS, **figures)


def check_training(options):
    """Sends for cases with a training how far losses and gradients are off, as a share of what is allowed."""
    common.use_tf32(False)
    names = [_QUICK] if options.quick else NAMES
    for mode in MODES[-1:] if options.quick else MODES:
        for name in names:
            if rows.seconds_left() < _SECONDS:
                rows.send(f"{name}, {mode}", skipped="the limit of this part is near")
                continue
            subject = Subject(*golden_cases.load(name), mode)
            figures = _off(subject)
            worst = max(figures, key=figures.get)
            rows.send(f"{name}, {mode}", ok=figures[worst] <= 1, off_to_allowed=figures[worst], worst=worst)


def _off(subject):
    """Returns {what was computed: how far it is off, as a share of what the tests allow}."""
    values = subject.loss_values() if subject.mode == MODES[0] else {}  # they do not depend on the mode
    step, gradients, more = subject.gradient_values()
    plain, norm = subject.without_multipliers(step, gradients)
    tensors = {f"grad:{name}": plain[name] for name in subject.train["gradient_tensors"]}
    values |= {**more, "grad_global_norm": norm, **tensors}
    return {key: subject.off(key, value) for key, value in values.items()}
