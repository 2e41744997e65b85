"""Options of train. Options that the reference has, too, bear the names and defaults of its train.py and common.py."""

import dataclasses
from typing import Any, ClassVar

from deeplab.config.data import TFDS_PREFIX, AugmentConfig, InputConfig
from deeplab.config.model import PROGRAM_DEFAULTS, RETIRED_MODEL_FLAGS, ModelConfig
from deeplab.config.options import Checked, nested, option, overrides, require, require_pair
from deeplab.config.presets import model_options, preset_option

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")
MIXED_PRECISIONS = ("none", "bfloat16", "float16")
_ONE_PROCESS = "one process feeds every device: choose --distribution_strategy, leave the flag out"


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Checked):
    """Learning rate"""

    learning_policy: str = option(
        "poly", "How the learning rate falls.", choices=("poly", "step", "cosine", "piecewise")
    )
    base_learning_rate: float = option(
        1e-4, "Rate at the start. Use 0.007 to train batch norm, too, and 1e-4 to fine-tune with frozen batch norm."
    )
    training_number_of_steps: int = option(30000, "Number of steps to train.")
    decay_steps: float = option(
        0.0, "poly: number of steps over which the rate falls. 0: all steps after the slow start."
    )
    end_learning_rate: float = option(0.0, "poly: learning rate at the end.")
    learning_power: float = option(0.9, "poly: exponent of the curve. 1 is a straight line.")
    learning_rate_decay_factor: float = option(0.1, "step: factor by which the rate is multiplied again and again.")
    learning_rate_decay_step: int = option(2000, "step: number of steps after which the rate is multiplied.")
    learning_rate_boundaries: tuple[int, ...] = option(
        (), "piecewise: steps up to which the rates hold, one for each rate except the last."
    )
    learning_rate_values: tuple[float, ...] = option((), "piecewise: learning rates, one more than boundaries.")
    slow_start_step: int = option(0, "Number of steps with a small rate before the policy begins.")
    slow_start_learning_rate: float = option(1e-4, "Learning rate of the slow start.")
    slow_start_burnin_type: str = option(
        "none",
        "none: the slow start has a constant rate. linear: its rate rises to base_learning_rate.",
        choices=("none", "linear"),
    )

    def check(self):
        steps = self.training_number_of_steps
        require(steps > 0, "training_number_of_steps", steps, "a positive number")
        require(0 <= self.slow_start_step < steps, "slow_start_step", self.slow_start_step, f"0 to {steps - 1}")
        require(self.base_learning_rate >= 0, "base_learning_rate", self.base_learning_rate, "0 or more")
        require(self.decay_steps >= 0, "decay_steps", self.decay_steps, "0 or more")
        require(
            self.learning_rate_decay_step > 0, "learning_rate_decay_step", self.learning_rate_decay_step, "at least 1"
        )
        if self.learning_policy == "piecewise":
            values, boundaries = self.learning_rate_values, self.learning_rate_boundaries
            fits = len(values) == len(boundaries) + 1 and list(boundaries) == sorted(boundaries)
            expected = f"{len(boundaries) + 1} rates for learning_rate_boundaries={boundaries}, which must ascend"
            require(fits, "learning_rate_values", values, expected)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Checked):
    """Optimizer, weight decay and gradients"""

    optimizer: str = option(
        "momentum", "Optimizer. With adam, the learning rate is constant.", choices=("momentum", "adam", "adamw")
    )
    momentum: float = option(0.9, "momentum: share of the last update that enters the next one.")
    nesterov: bool = option(False, "momentum: use Nesterov momentum.")
    adam_learning_rate: float = option(0.001, "adam: learning rate. The learning policy does not apply.")
    adam_epsilon: float = option(1e-8, "adam, adamw: number that is added to the denominator.")
    weight_decay: float = option(
        4e-5,
        "Add weight_decay * sum(w^2) / 2 of the convolution kernels to the loss (adamw: decoupled). 1e-4 is usual for "
        "ResNet.",
    )
    last_layer_gradient_multiplier: float = option(
        1.0, "Multiply the gradients of the head by this number, and its biases by twice the number."
    )
    gradient_clip_norm: float | None = option(
        None, "Scale gradients down to at most this global norm. Not given: never."
    )
    gradient_accumulation_steps: int = option(
        1, "Compute the gradient of a batch in this many parts, one after the other, which takes less memory."
    )
    moving_average_decay: float = option(
        0.0, "Keep exponential moving averages of the weights with this decay, e.g. 0.9999. 0: keep none."
    )
    freeze_backbone_steps: int = option(0, "Number of steps at the start that train only the head.")

    def check(self):
        for name, low, high in (("momentum", 0, 1), ("moving_average_decay", 0, 1)):
            require(low <= getattr(self, name) < high, name, getattr(self, name), f"{low} or more, less than {high}")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.freeze_backbone_steps >= 0, "freeze_backbone_steps", self.freeze_backbone_steps, "0 or more")
        parts = self.gradient_accumulation_steps
        require(parts >= 1, "gradient_accumulation_steps", parts, "at least 1")
        clip = self.gradient_clip_norm
        require(clip is None or clip > 0, "gradient_clip_norm", clip, "a positive number, or leave it out")


@dataclasses.dataclass(frozen=True)
class LossConfig(Checked):
    """Loss"""

    upsample_logits: bool = option(
        True, "Enlarge the logits to the size of the labels. False: shrink the labels to the size of the logits."
    )
    top_k_percent_pixels: float = option(
        1.0, "Share of the pixels that enter the loss; the pixels with the largest loss are chosen."
    )
    hard_example_mining_step: int = option(
        0, "Number of steps over which this share falls from 1 to top_k_percent_pixels."
    )
    loss: str = option("cross_entropy", "Loss of a pixel.", choices=("cross_entropy", "focal"))
    focal_gamma: float = option(2.0, "focal: exponent of (1 - probability). Source: arXiv 1708.02002.")
    label_smoothing: float = option(0.0, "Share of every label that is spread evenly over all classes.")
    region_loss: str = option(
        "none",
        "Loss of whole regions that is added to the loss of the pixels. Sources: arXiv 1606.04797 (dice), 1705.08790 "
        "(lovasz).",
        choices=("none", "dice", "lovasz"),
    )
    region_loss_weight: float = option(1.0, "Weight of the region loss.")
    class_weights: str | None = option(
        None,
        "auto: the median class frequency divided by the class's own frequency, at most 10. sqrt: the square roots of "
        "these weights, which raise mIoU more often than auto does. Or a text file with one weight per class.",
    )

    def check(self):
        share = self.top_k_percent_pixels
        require(0 < share <= 1, "top_k_percent_pixels", share, "more than 0, at most 1")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 or more, less than 1")
        require(
            self.hard_example_mining_step >= 0, "hard_example_mining_step", self.hard_example_mining_step, "0 or more"
        )
        require(self.focal_gamma >= 0, "focal_gamma", self.focal_gamma, "0 or more")


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
    mixed_precision: str = option("none", "Type to compute in. Logits and loss stay float32.", choices=MIXED_PRECISIONS)
    random_seed: int = option(0, "Seed of initial weights, data order, augmentation and dropout.")
    deterministic: bool = option(
        False, "Use only deterministic kernels on GPUs, which are slower. Kernels on CPUs always are deterministic."
    )
    jit_compile: bool = option(
        False, "Compile the training step with XLA. It may help on a GPU and never helps on a CPU."
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
    eval_crop_size: tuple[int, ...] | None = option(None, "Pad images to this height and width in evaluations.")
    patience: int = option(0, "Stop after this many evaluations without a better mIoU. 0: never stop.")

    def check(self):
        positive = ("log_steps", "save_interval_steps", "save_interval_secs", "keep_checkpoints")
        for name in positive:
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        for name in ("eval_interval_steps", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
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
    train_split: str = option("train", "Split of the data set to train on.")
    train_batch_size: int = option(8, "Images per step, on all devices together.")
    train_crop_size: tuple[int, ...] = option((513, 513), "Height and width of the training crops.")
    tf_initial_checkpoint: str | None = option(
        None, "Start from the weights of this checkpoint, ours or the reference's. A resumed training ignores it."
    )
    backbone_weights: str | None = option(
        None,
        "Start the backbone from these weights: a file, or imagenet for the weights of keras.applications "
        "(mobilenet_v2 only).",
    )
    recalibrate_batch_norm: bool = option(
        False, "Measure the batch norm statistics of the initial weights again. Needed for weights from a .tflite file."
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
        given = bool(self.dataset_dir) or (self.dataset or "").startswith(TFDS_PREFIX)
        require(given, "dataset_dir", self.dataset_dir, "the folder of the shards, --dataset_dir=DIR")
        alone = self.tf_initial_checkpoint is None or self.backbone_weights is None
        require(alone, "backbone_weights", self.backbone_weights, "no value together with --tf_initial_checkpoint")
        crop, parts = self.train_crop_size, self.optimizer.gradient_accumulation_steps
        require_pair("train_crop_size", crop)
        require(self.train_batch_size > 0, "train_batch_size", self.train_batch_size, "at least 1")
        divides = self.train_batch_size % parts == 0
        require(divides, "gradient_accumulation_steps", parts, f"a divisor of train_batch_size={self.train_batch_size}")

    def model_config(self, num_classes):
        """Returns the ModelConfig that preset and model flags describe, for a data set of `num_classes` classes."""
        size = {"num_classes": num_classes, "crop_size": self.train_crop_size}
        return ModelConfig(**{**PROGRAM_DEFAULTS, **model_options(self.preset), **self.model, **size})


# Options that may change when a training resumes: its length and the end of its learning rate, its folders, how its
# input is fed, devices, logging, checkpoints and evaluation. The other options decide what the network learns, and have
# to stay.
_PLACES = ("train_logdir", "dataset_dir", "tfds_data_dir", "cache", "data_service")
_BEGINNING = ("tf_initial_checkpoint", "initialize_last_layer")
_RUN = {field.name for field in dataclasses.fields(RunConfig)} - {"mixed_precision", "random_seed"}
_END = ("training_number_of_steps", "decay_steps", "end_learning_rate")
MAY_CHANGE = frozenset({*_PLACES, *_BEGINNING, *_RUN, *_END})
