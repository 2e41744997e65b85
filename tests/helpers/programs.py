"""The programs `python -m deeplab.NAME` that several tests run through, and their configurations."""

CONFIG_OF = {  # program: (module, name) of its configuration class
    "train": ("deeplab.config.training", "TrainConfig"),
    "eval": ("deeplab.config.inference", "EvalConfig"),
    "vis": ("deeplab.config.inference", "VisConfig"),
    "export": ("deeplab.config.export", "ExportConfig"),
    "predict": ("deeplab.config.inference", "PredictConfig"),
    "benchmark": ("deeplab.config.benchmark", "BenchmarkConfig"),
    "serve": ("deeplab.config.serve", "ServeConfig"),
    "data_service": ("deeplab.config.data_service", "DataServiceConfig"),
}
