"""The programs `python -m deeplab.NAME` that several tests run through, and their configurations."""

import importlib

from deeplab import cli
from deeplab.programs.builders import command

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
BUILDERS = {  # word of `deeplab build`, and what belongs to it: (module, name) of its configuration class
    **{word: (f"deeplab.programs.builders.{module}", name) for word, (module, name) in command.BUILDERS.items()},
    "check": ("deeplab.programs.builders.check", "CheckConfig"),
    "draw_shapes": ("deeplab.programs.builders.shapes", "DrawConfig"),
    "inspect": ("deeplab.programs.inspecting.command", "InspectConfig"),
}
SCRIPTS = {  # script in datasets/: the program in BUILDERS that it is
    **{f"build_{word}_data": word for word in ("ade20k", "camvid", "cityscapes", "folder", "voc2012")},
    **{"check": "check", "draw_shapes": "draw_shapes"},
}


def flags_of(program):
    """Returns the names of all flags of a program."""
    module, name = {**CONFIG_OF, **BUILDERS}[program]
    return [field.name for field, _owner, _optional in cli.all_fields(getattr(importlib.import_module(module), name))]
