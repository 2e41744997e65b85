"""Options of train that say what is minimised and how: learning rate, optimizer, loss. Names are the reference's."""

import dataclasses

from deeplab.config.options import Checked, option, require


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
        1.0,
        "Multiply the gradients of the head by this number, and its biases by twice the number. 0: the weights of the "
        "head stay as they are, and its batch norms go on measuring. adam and adamw divide by the size of the "
        "gradients, so that any other number changes little there.",
    )
    gradient_clip_norm: float | None = option(
        None, "Scale gradients down to at most this global norm. Not given: never."
    )
    gradient_accumulation_steps: int = option(
        1,
        "Compute the gradient of a batch in this many parts, one after the other, which takes less memory. Batch norm, "
        "top_k_percent_pixels and region_loss see each part by itself; other losses equal those of the whole batch.",
    )
    moving_average_decay: float = option(
        0.0, "Keep exponential moving averages of the weights with this decay, e.g. 0.9999. 0: keep none."
    )
    freeze_backbone_steps: int = option(
        0,
        "Number of steps at the start that train only the head. In these steps nothing of the backbone changes; its "
        "batch norms use their moving averages.",
    )

    def check(self):
        for name, low, high in (("momentum", 0, 1), ("moving_average_decay", 0, 1)):
            require(low <= getattr(self, name) < high, name, getattr(self, name), f"{low} or more, less than {high}")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        for name in ("freeze_backbone_steps", "last_layer_gradient_multiplier"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
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
        1.0,
        "Share of the pixels that enter the loss; the pixels with the largest loss are chosen, with "
        "gradient_accumulation_steps in each part of the batch by itself.",
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
        "(lovasz). With gradient_accumulation_steps it is computed for each part of the batch by itself.",
        choices=("none", "dice", "lovasz"),
    )
    region_loss_weight: float = option(1.0, "Weight of the region loss.")
    class_weights: str | None = option(
        None,
        "auto: median frequency / frequency of the class, at most 10, where the frequency is the pixels of the class / "
        "the pixels of all images that hold the class (arXiv 1411.4734). sqrt: the square roots of these weights, "
        "which raise mIoU more often than auto does. Or a text file with one weight per class.",
    )

    def check(self):
        share = self.top_k_percent_pixels
        require(0 < share <= 1, "top_k_percent_pixels", share, "more than 0, at most 1")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 or more, less than 1")
        require(
            self.hard_example_mining_step >= 0, "hard_example_mining_step", self.hard_example_mining_step, "0 or more"
        )
        require(self.focal_gamma >= 0, "focal_gamma", self.focal_gamma, "0 or more")
