"""Options of train.py. Names and defaults are the reference's (train.py and common.py) where it has the option."""

import dataclasses

from deeplab.config.data import TFDS_PREFIX, AugmentConfig, InputConfig
from deeplab.config.model import RETIRED_MODEL_FLAGS, ModelConfig
from deeplab.config.options import Checked, nested, option, overrides, require
from deeplab.config.presets import MODELS, model_options

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")
_MODEL_DEFAULTS = {"output_stride": 16}  # the reference's train.py; its model code says 8
_BATCH = "one process feeds every device: choose --distribution_strategy, leave the flag out"


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Checked):
    """Learning rate"""

    learning_policy: str = option("poly", "How the rate falls.", choices=("poly", "step", "cosine", "piecewise"))
    base_learning_rate: float = option(
        1e-4, "Rate at the start. 0.007 for training with batch norm, 1e-4 for fine-tuning with it frozen."
    )
    training_number_of_steps: int = option(30000, "Steps to train.")
    decay_steps: float = option(0.0, "poly: steps over which the rate falls; 0: all steps after the slow start.")
    end_learning_rate: float = option(0.0, "poly: rate at the end.")
    learning_power: float = option(0.9, "poly: exponent.")
    learning_rate_decay_factor: float = option(0.1, "step: what the rate is multiplied by.")
    learning_rate_decay_step: int = option(2000, "step: after how many steps.")
    learning_rate_boundaries: tuple[int, ...] = option((), "piecewise: last step of each value but the last.")
    learning_rate_values: tuple[float, ...] = option((), "piecewise: rates, one more than boundaries.")
    slow_start_step: int = option(0, "Steps with a small rate before the policy begins.")
    slow_start_learning_rate: float = option(1e-4, "Rate of the slow start.")
    slow_start_burnin_type: str = option(
        "none", "none: constant slow start; linear: rises to base_learning_rate.", choices=("none", "linear")
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
    """Optimizer and what happens to gradients"""

    optimizer: str = option("momentum", "adam has a constant rate.", choices=("momentum", "adam", "adamw"))
    momentum: float = option(0.9, "momentum: share of the last update that is kept.")
    nesterov: bool = option(False, "momentum: look ahead (Nesterov).")
    adam_learning_rate: float = option(0.001, "adam: rate; the learning policy does not apply to it.")
    adam_epsilon: float = option(1e-8, "adam, adamw: added to the denominator.")
    weight_decay: float = option(
        4e-5, "L2: weight_decay * sum(w^2) / 2 of convolution kernels (adamw: decoupled). 1e-4 is usual for ResNet."
    )
    last_layer_gradient_multiplier: float = option(1.0, "Multiplies the gradients of the head; biases get twice that.")
    gradient_clip_norm: float | None = option(None, "Scale gradients down to this global norm.")
    gradient_accumulation_steps: int = option(
        1, "Compute the gradient of a batch in this many parts, one after the other (less memory)."
    )
    moving_average_decay: float = option(
        0.0, "Keep exponential moving averages of the weights with this decay, e.g. 0.9999; 0: none."
    )
    freeze_backbone_steps: int = option(0, "Train only the head for this many steps.")

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

    upsample_logits: bool = option(True, "Compare logits at label size. False: labels shrink to the logits' size.")
    top_k_percent_pixels: float = option(1.0, "Share of the pixels, the hardest, that enter the loss.")
    hard_example_mining_step: int = option(0, "Steps over which the share falls from 1 to top_k_percent_pixels.")
    loss: str = option("cross_entropy", "Loss of a pixel.", choices=("cross_entropy", "focal"))
    focal_gamma: float = option(2.0, "focal: exponent of (1 - probability). Source: arXiv 1708.02002.")
    label_smoothing: float = option(0.0, "Share of a label that is spread over all classes.")
    region_loss: str = option(
        "none",
        "Loss of whole regions, added to that of pixels. Sources: arXiv 1606.04797 (dice), 1705.08790 (lovasz).",
        choices=("none", "dice", "lovasz"),
    )
    region_loss_weight: float = option(1.0, "Weight of the region loss.")
    class_weights: str | None = option(
        None,
        "auto: median frequency over the class's own, at most 10, from the class histogram of the data set; sqrt: the "
        "square roots of these, which raise mIoU more often; or a text file with one weight per class.",
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
    """Devices, log and checkpoints"""

    distribution_strategy: str = option(
        "auto",
        "auto: all GPUs of this machine, else its CPU; multi_worker_mirrored: machines of TF_CONFIG; tpu: --tpu.",
        choices=STRATEGIES,
    )
    tpu: str | None = option(None, "Name or address of the TPU; `local` on a TPU VM.")
    mixed_precision: str = option(
        "none", "Compute type; logits and loss stay float32.", choices=("none", "bfloat16", "float16")
    )
    random_seed: int = option(0, "Seed of initial weights, data order, augmentation and dropout.")
    deterministic: bool = option(False, "Only deterministic kernels on GPUs (slower; on a CPU they are anyway).")
    jit_compile: bool = option(False, "Compile the step with XLA (GPU; never worth it on a CPU).")
    log_steps: int = option(10, "Steps between two lines of the log, and between two points of the curves.")
    save_interval_steps: int = option(1000, "Steps between two checkpoints.")
    save_interval_secs: int = option(1200, "A checkpoint is also written when this many seconds have passed.")
    keep_checkpoints: int = option(5, "How many of the newest checkpoints are kept.")
    save_summaries_secs: int = option(600, "Seconds between two sets of sample pictures in TensorBoard.")
    save_summaries_images: bool = option(True, "Show sample pictures in TensorBoard (reference: off).")
    profile_logdir: str | None = option(None, "Write a TensorBoard profile of a few steps to this folder.")
    eval_interval_steps: int = option(0, "Steps between two evaluations that choose the best checkpoint; 0: none.")
    eval_split: str = option("val", "Split that is evaluated while training.")
    eval_crop_size: tuple[int, ...] | None = option(None, "Evaluate images padded to this height and width.")
    patience: int = option(0, "Stop after this many evaluations without a better mIoU; 0: never.")

    def check(self):
        positive = ("log_steps", "save_interval_steps", "save_interval_secs", "keep_checkpoints")
        for name in positive:
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        for name in ("eval_interval_steps", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.patience == 0 or self.eval_interval_steps, "patience", self.patience, "eval_interval_steps, too")


@dataclasses.dataclass(frozen=True)
class TrainConfig(Checked):
    """What to train, on what, and where it goes"""

    train_logdir: str = option("", "Folder of this training. If it holds a checkpoint, the training is resumed.")
    dataset_dir: str = option("", "Folder of the TFRecord shards.")
    dataset: str | None = option(None, "Where dataset_dir has no dataset.json: catalogue name, or tfds:NAME[:split].")
    train_split: str = option("train", "Split to train on.")
    train_batch_size: int = option(8, "Images per step, all devices together.")
    train_crop_size: tuple[int, ...] = option((513, 513), "Height and width of the training crops.")
    tf_initial_checkpoint: str | None = option(
        None, "Fine-tune: start from the weights of this checkpoint (ours or the reference's). Ignored on resume."
    )
    backbone_weights: str | None = option(
        None, "Start the backbone from these weights: imagenet (mobilenet_v2, those of keras.applications), or a file."
    )
    recalibrate_batch_norm: bool = option(
        False, "Measure the batch norm statistics of the initial weights anew; for weights from a .tflite file."
    )
    initialize_last_layer: bool = option(True, "Fine-tune: take the head from the checkpoint, too.")
    last_layers_contain_logits_only: bool = option(
        False, "The head, in initialize_last_layer and last_layer_gradient_multiplier, is the logits alone."
    )
    preset: str | None = option(None, "Network of this published model; model flags go before it.", choices=(*MODELS,))
    model: dict = overrides(ModelConfig, hide=("num_classes", "crop_size"), defaults=_MODEL_DEFAULTS)
    augment: AugmentConfig = nested(AugmentConfig)
    input: InputConfig = nested(InputConfig)
    loss: LossConfig = nested(LossConfig)
    optimizer: OptimizerConfig = nested(OptimizerConfig)
    schedule: ScheduleConfig = nested(ScheduleConfig)
    run: RunConfig = nested(RunConfig)

    RETIRED = {
        **RETIRED_MODEL_FLAGS,
        **dict.fromkeys(
            ("num_clones", "clone_on_cpu", "num_replicas", "num_ps_tasks", "master", "task", "startup_delay_steps"),
            _BATCH,
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
        require(len(crop) == 2 and min(crop) > 0, "train_crop_size", crop, "two positive numbers: height, width")
        require(self.train_batch_size > 0, "train_batch_size", self.train_batch_size, "at least 1")
        divides = self.train_batch_size % parts == 0
        require(divides, "gradient_accumulation_steps", parts, f"a divisor of train_batch_size={self.train_batch_size}")

    def model_config(self, num_classes):
        """Returns the ModelConfig of these flags for a data set of `num_classes` classes."""
        size = {"num_classes": num_classes, "crop_size": self.train_crop_size}
        return ModelConfig(**{**_MODEL_DEFAULTS, **model_options(self.preset), **self.model, **size})


# Options that may change when a training is resumed: how long, where, how the input is fed, how often it reports.
_PLACES = ("train_logdir", "dataset_dir", "tfds_data_dir", "cache", "data_service")
_BEGINNING = ("tf_initial_checkpoint", "initialize_last_layer")
_RUN = {field.name for field in dataclasses.fields(RunConfig)} - {"mixed_precision", "random_seed"}
MAY_CHANGE = frozenset({*_PLACES, *_BEGINNING, *_RUN, "training_number_of_steps"})
