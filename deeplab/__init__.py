"""DeepLabv3+ (Chen et al. 2018, arXiv 1802.02611) for TensorFlow 2 and Keras 3.

The names below are loaded when they are first used: `import deeplab` alone does not import TensorFlow.
"""

import importlib

from deeplab import registry

__version__ = "0.1.0"
DISTRIBUTION = "deeplabv3plus"  # what `pip list` shows; `deeplab` is another project's name on the package index

_PUBLIC = {
    "ModelConfig": ("deeplab.config.model", "ModelConfig"),
    "MODELS": ("deeplab.config.presets", "MODELS"),
    "UserError": ("deeplab.errors", "UserError"),
    "build_model": ("deeplab.model.network", "build_model"),
    "count_multiply_adds": ("deeplab.model.cost", "count_multiply_adds"),
    "restore": ("deeplab.checkpoints.restoring", "restore"),
    "predict_labels": ("deeplab.inference.predictor", "predict_labels"),
    "load": ("deeplab.inference.trained", "load"),
    "Segmenter": ("deeplab.segmenting.segmenter", "Segmenter"),
    "Result": ("deeplab.segmenting.result", "Result"),
    "train_model": ("deeplab.programs.functions", "train_model"),
    "evaluate_model": ("deeplab.programs.functions", "evaluate_model"),
    "export_model": ("deeplab.programs.functions", "export_model"),
}
__all__ = ["__version__", "keras", *_PUBLIC]

registry.watch()  # Keras then finds our classes when it reads a file


def __getattr__(name):
    if name == "keras":
        return importlib.import_module("deeplab.keras")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'deeplab' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__():
    return sorted(__all__)
