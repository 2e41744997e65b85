"""The programs that `python -m deeplab.NAME` runs, and their configurations."""

CONFIG_OF = {  # entry point -> (module and name of its configuration, the flags that it cannot do without)
    "train": ("deeplab.config.training", "TrainConfig"),
    "eval": ("deeplab.config.inference", "EvalConfig"),
    "vis": ("deeplab.config.inference", "VisConfig"),
    "export": ("deeplab.config.export", "ExportConfig"),
    "predict": ("deeplab.config.inference", "PredictConfig"),
    "benchmark": ("deeplab.config.benchmark", "BenchmarkConfig"),
}
