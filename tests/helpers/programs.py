"""The programs `python -m deeplab.NAME` that several tests run through, and their configurations."""

import importlib

from deeplab import cli

CONFIG_OF = {  # program: (module, name) of its configuration class
    "train": ("deeplab.config.training", "TrainConfig"),
    "eval": ("deeplab.config.inference", "EvalConfig"),
    "vis": ("deeplab.config.inference", "VisConfig"),
    "export": ("deeplab.config.export", "ExportConfig"),
    "predict": ("deeplab.config.inference", "PredictConfig"),
    "benchmark": ("deeplab.config.benchmark", "BenchmarkConfig"),
    "serve": ("deeplab.config.serve", "ServeConfig"),
    "models": ("deeplab.config.published.command", "ModelsConfig"),
    "data_service": ("deeplab.config.data_service", "DataServiceConfig"),
}
BUILDERS = {  # script in datasets/: (module, name) of its configuration class
    "build_ade20k_data": ("build_ade20k_data", "AdeConfig"),
    "build_camvid_data": ("build_camvid_data", "CamvidConfig"),
    "build_cityscapes_data": ("build_cityscapes_data", "CityscapesConfig"),
    "build_folder_data": ("build_folder_data", "FolderConfig"),
    "build_voc2012_data": ("build_voc2012_data", "VocConfig"),
    "check": ("check", "CheckConfig"),
    "draw_shapes": ("draw_shapes", "DrawConfig"),
}


def flags_of(program):
    """Returns the names of all flags of a program."""
    module, name = CONFIG_OF[program]
    return [field.name for field, _owner, _optional in cli.all_fields(getattr(importlib.import_module(module), name))]
