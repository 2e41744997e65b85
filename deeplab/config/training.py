"""Options of train. Options that the reference has, too, bear the names and defaults of its train.py and common.py."""

import dataclasses
from typing import Any, ClassVar

from deeplab.config import atrous_rates
from deeplab.config.data import AugmentConfig, InputConfig, is_tfds
from deeplab.config.model import PROGRAM_DEFAULTS, RETIRED_MODEL_FLAGS, ModelConfig
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.options import (
    Checked,
    GpuConfig,
    dry_run_option,
    gpu_options,
    nested,
    option,
    overrides,
    require,
    require_pair,
)
from deeplab.config.presets import model_options, preset_option

TRACKERS = ("wandb", "mlflow")
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")
MIXED_PRECISIONS = ("none", "bfloat16", "float16")
AUTO_PRECISION = "auto"
_ONE_PROCESS = "one process feeds every device: choose --distribution_strategy, leave the flag out"


@dataclasses.dataclass(frozen=True)
class RunConfig(Checked):
    """Devices, log, checkpoints and evaluation"""

    distribution_strategy: str = option(
        "auto",
        "auto: use all GPUs of this machine, or its CPU when it has none. multi_worker_mirrored: use the machines of "
        "TF_CONFIG. tpu: use the TPU that --tpu names.",
        choices=STRATEGIES,
    )
    tpu: str | None = option(None, "Name or address of the TPU. On a TPU VM: local.")
    mixed_precision: str = option(
        "none",
        "Type to compute in. Logits and loss stay float32. auto: bfloat16 where the processor, GPU or TPU has "
        "instructions for it, else none; a training that is resumed keeps what was chosen.",
        choices=(*MIXED_PRECISIONS, AUTO_PRECISION),
    )
    random_seed: int = option(0, "Seed of initial weights, data order, augmentation, dropout and drop path.")
    deterministic: bool = option(
        False,
        "Use only deterministic kernels on GPUs, which are slower. Kernels on CPUs always are deterministic; with this "
        "flag they round in another way.",
    )
    jit_compile: bool | str = option(
        "auto",
        "Compile the training step with XLA. auto: on one GPU, time a few steps with XLA and without, and take what is "
        "faster; elsewhere do not compile. A training that is resumed keeps what was measured. On a CPU, XLA makes "
        "steps 2 to 4 times slower. On a TPU, every step is compiled.",
        word="auto",
    )
    jit_compile_provisional: bool = option(
        False, "auto stands for jit_compile, but nothing was measured; a resumed training may measure.", flag=False
    )
    log_steps: int = option(
        10, "Steps between two lines of the log, and between two points of the curves in TensorBoard."
    )
    save_interval_steps: int = option(1000, "Steps between two checkpoints.")
    save_interval_secs: int = option(1200, "Also write a checkpoint when this many seconds have passed.")
    keep_checkpoints: int = option(5, "Number of newest checkpoints to keep.")
    save_summaries_secs: int = option(600, "Seconds between two sets of sample pictures in TensorBoard.")
    save_summaries_images: bool = option(True, "Show sample pictures in TensorBoard. The reference's default is False.")
    profile_logdir: str | None = option(None, "Write a TensorBoard profile of a few steps to this folder.")
    eval_interval_steps: int = option(
        0, "Steps between two evaluations, which choose the best checkpoint. 0: never evaluate."
    )
    eval_split: str = option("val", "Split to evaluate during the training.")
    eval_crop_size: tuple[int, ...] | None = option(
        None, "Pad images to this height and width in evaluations. Not given: as eval does."
    )
    patience: int = option(0, "Stop after this many evaluations without a better mIoU. 0: never stop.")
    tracker: str | None = option(
        None,
        "Also tell this tracker what metrics.jsonl gets, with parameters, sample pictures and, at the end, the best "
        "checkpoint. A tracker that does not answer costs one line. Needs the package wandb or mlflow-skinny; the "
        "variables of the environment WANDB_MODE or MLFLOW_TRACKING_URI say where to.",
        choices=TRACKERS,
    )
    dry_run: bool = dry_run_option("Take a few steps, say what the training needs")

    def check(self):
        positive = ("log_steps", "save_interval_steps", "save_interval_secs", "keep_checkpoints")
        for name in positive:
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        for name in ("eval_interval_steps", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(0 <= self.random_seed < 2**32, "random_seed", self.random_seed, "0 to 4294967295")
        require(self.patience == 0 or self.eval_interval_steps, "patience", self.patience, "eval_interval_steps, too")


@dataclasses.dataclass(frozen=True)
class TrainConfig(Checked):
    """Folders, data set and initial weights"""

    train_logdir: str = option(
        "", "Folder of this training. If the folder holds a checkpoint, the training resumes there."
    )
    dataset_dir: str = option("", "Folder of the TFRecord shards.")
    dataset: str | None = option(
        None, "Catalogue name of the data set, when dataset_dir has no dataset.json; or tfds:NAME[:split]."
    )
    train_split: str = option("train", "Split of the data set to train on, or several: fold1,fold2,fold3.")
    train_batch_size: int = option(8, "Images per step, on all devices together.")
    train_crop_size: tuple[int, ...] = option((513, 513), "Height and width of the training crops.")
    tf_initial_checkpoint: str | None = option(
        None,
        "Start from the weights of this checkpoint, ours or the reference's, or from preset:NAME, a published model "
        "that is fetched once; also https://... or gs://... A resumed training ignores it.",
    )
    use_moving_averages: bool = option(
        True,
        "Start from the moving averages of the weights, when these come from a training of ours that kept them "
        "(--moving_average_decay).",
    )
    map_classes_by_name: bool = option(
        False,
        "When tf_initial_checkpoint is of a training of ours: give every class the logits of the class of the same "
        "name. Classes with a new name start from random logits.",
    )
    backbone_weights: str | None = option(
        None,
        "Start the backbone from these weights: a file, or published ones, which are fetched once: imagenet for "
        "mobilenet_v2 (of keras.applications), xception_41, xception_65, xception_71, resnet_v1_50_beta and "
        "resnet_v1_101_beta; imagenet_coco for xception_65, which also loads what fits of the head.",
    )
    extra_channels: str = option(
        "mean",
        "How the first convolution begins when the initial weights are of a network for another number of channels, "
        "e.g. RGB. mean: further channels get the mean of the kernels, scaled so that equal channels give what RGB "
        "gives. zero: they get zeros.",
        choices=("mean", "zero"),
    )
    recalibrate_batch_norm: bool = option(
        False, "Measure the batch norm statistics of the initial weights again. Needed for weights from a .tflite file."
    )
    restart_batch_norm_averages: bool = option(
        False,
        "Let the batch norm averages of the initial weights begin anew, so that they fit this training's crops. With "
        "base_learning_rate=0 nothing else changes.",
    )
    initialize_last_layer: bool = option(
        True, "Also take the head from tf_initial_checkpoint. False: the head starts from random weights."
    )
    last_layers_contain_logits_only: bool = option(
        False, "For initialize_last_layer and last_layer_gradient_multiplier, the head is only the logits layer."
    )
    preset: str | None = preset_option()
    model: dict[str, Any] = overrides(ModelConfig, hide=("num_classes", "crop_size"), defaults=PROGRAM_DEFAULTS)
    augment: AugmentConfig = nested(AugmentConfig)
    input: InputConfig = nested(InputConfig)
    loss: LossConfig = nested(LossConfig)
    optimizer: OptimizerConfig = nested(OptimizerConfig)
    schedule: ScheduleConfig = nested(ScheduleConfig)
    run: RunConfig = nested(RunConfig)
    gpu: GpuConfig = gpu_options(tf32=True)

    TAKES_RECIPES: ClassVar[bool] = True  # --recipe=NAME
    RETIRED: ClassVar[dict[str, str]] = {
        **RETIRED_MODEL_FLAGS,
        **dict.fromkeys(
            ("num_clones", "clone_on_cpu", "num_replicas", "num_ps_tasks", "master", "task", "startup_delay_steps"),
            _ONE_PROCESS,
        ),
        "quantize_delay_step": "train as usual and quantize at export: python -m deeplab.export",
    }

    def check(self):
        require(bool(self.train_logdir), "train_logdir", self.train_logdir, "a folder, --train_logdir=DIR")
        given = bool(self.dataset_dir) or is_tfds(self.dataset)
        require(given, "dataset_dir", self.dataset_dir, "the folder of the shards, --dataset_dir=DIR")
        names = self.train_splits
        fits = all(names) and len(set(names)) == len(names)
        require(fits, "train_split", self.train_split, "a split, or different splits separated by commas")
        alone = self.tf_initial_checkpoint is None or self.backbone_weights is None
        require(alone, "backbone_weights", self.backbone_weights, "no value together with --tf_initial_checkpoint")
        if self.restart_batch_norm_averages:
            self._check_restart()
        crop, parts = self.train_crop_size, self.optimizer.gradient_accumulation_steps
        require_pair("train_crop_size", crop)
        require(self.train_batch_size > 0, "train_batch_size", self.train_batch_size, "at least 1")
        divides = self.train_batch_size % parts == 0
        require(divides, "gradient_accumulation_steps", parts, f"a divisor of train_batch_size={self.train_batch_size}")

    def _check_restart(self):
        given = bool(self.tf_initial_checkpoint or self.backbone_weights) and not self.recalibrate_batch_norm
        expected = "False without --tf_initial_checkpoint or --backbone_weights, and beside --recalibrate_batch_norm"
        require(given, "restart_batch_norm_averages", True, expected)
        for name in ("fine_tune_batch_norm", "batch_norm_warmup"):
            require(self.model.get(name, True), name, False, "True with --restart_batch_norm_averages")

    @property
    def train_splits(self):
        """The names of the splits to train on."""
        return tuple(name.strip() for name in self.train_split.split(","))

    def losses_of_parts(self):
        """Returns the options whose loss gradient accumulation computes for each part of the batch by itself.

        Such a loss needs all pixels of a batch before the gradient of the first one is known: the threshold of the
        hardest pixels, the sums of dice, the order of Lovasz. Only a second forward pass could give it that.
        """
        if self.optimizer.gradient_accumulation_steps == 1:
            return []
        mined = [f"top_k_percent_pixels={self.loss.top_k_percent_pixels:g}"]
        region = [f"region_loss={self.loss.region_loss}"]
        return mined * (self.loss.top_k_percent_pixels < 1) + region * (self.loss.region_loss != "none")

    def model_config(self, num_classes, num_channels=3):
        """Returns the ModelConfig that preset and model flags describe, for a data set with these numbers.

        `atrous_rates="auto"` becomes numbers here, so that config.json and the network only know numbers.
        """
        given = self.model.get("num_channels", num_channels)
        require(given == num_channels, "num_channels", given, f"{num_channels}, as the images of the data set have")
        size = {"num_classes": num_classes, "num_channels": num_channels, "crop_size": self.train_crop_size}
        options = {**PROGRAM_DEFAULTS, **model_options(self.preset), **self.model, **size}
        if options.get("atrous_rates") == atrous_rates.AUTO:
            cell = options.get("dense_prediction_cell_json")
            require(not cell, "atrous_rates", atrous_rates.AUTO, f"no value: {cell} has rates of its own")
            seen = (self.train_crop_size, options["output_stride"], options.get("image_pyramid"))
            options["atrous_rates"] = atrous_rates.fitting(*seen)
        return ModelConfig(**options)


# Options that may change when a training resumes: its length and the end of its learning rate, its folders, how its
# input is fed, devices and their memory, logging, checkpoints and evaluation. The other options decide what the network
# learns, and have to stay.
_PLACES = ("train_logdir", "dataset_dir", "tfds_data_dir", "cache", "data_service")
_BEGINNING = (
    "tf_initial_checkpoint",
    "initialize_last_layer",
    "use_moving_averages",
    "map_classes_by_name",
    "extra_channels",
    "restart_batch_norm_averages",
)
_RUN = {field.name for field in dataclasses.fields(RunConfig)} - {"mixed_precision", "random_seed"}
_END = ("training_number_of_steps", "decay_steps", "end_learning_rate")
MAY_CHANGE = frozenset({*_PLACES, *_BEGINNING, *_RUN, *_END, "gpu_memory_growth"})
