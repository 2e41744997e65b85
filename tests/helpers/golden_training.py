"""The `train` part of the golden cases: losses, gradients, momentum steps and moving averages of the original.

Tolerances are ten times the rounding that the case records for float32: two runs of the original with other kernels
differ by that much. Gradients of a training batch norm are badly conditioned (four images), those of a frozen one not.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab.checkpoints.restoring import restore
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.training import TrainConfig
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import losses
from deeplab.training.step import TrainingStep
from helpers import golden_cases

NAMES = [name for name in golden_cases.NAMES if "train" in golden_cases.load(name)[0]]
MODES = ("bn_train", "bn_frozen")


@dataclasses.dataclass
class Subject:
    """A case in one mode: its network with the checkpoint's weights, and what the original computed."""

    case: dict
    arrays: dict
    mode: str

    def __post_init__(self):
        config = golden_cases.config_of(
            self.case, fine_tune_batch_norm=self.mode == "bn_train", batch_norm_warmup=False, label_weights=None
        )
        self.train = self.case["train"]
        self.model = build_model(config, (*config.crop_size, 3))
        self.restart()
        for layer in self.model.layers:
            if "dropout" in layer.name:
                layer.rate = 0.0  # the original's goldens were computed without
        self.images, self.labels = self.arrays["train_images"], self.arrays["train_labels"]

    def restart(self):
        restore(self.model, golden_cases.source_of(self.case), strict=True)

    def step(self, weights=None, **loss):
        train = self.train
        config = TrainConfig(
            train_logdir="unused",
            dataset_dir="unused",
            loss=LossConfig(**loss),
            optimizer=OptimizerConfig(
                momentum=train["momentum"],
                weight_decay=train["weight_decay"],
                last_layer_gradient_multiplier=train["last_layer_gradient_multiplier"],
            ),
            schedule=ScheduleConfig(
                base_learning_rate=train["base_learning_rate"][self.mode],
                training_number_of_steps=train["training_number_of_steps"],
                learning_power=train["learning_power"],
            ),
        )
        return TrainingStep(
            scale_outputs(self.model), losses.Objective(config.loss, train["ignore_label"], weights), config
        )

    def check(self, key, value):
        """Compares with the original's array of that key, within ten times the rounding that the case records."""
        expected = self.arrays[f"{self.mode}/{key}"]
        atol = self._allowed(key)
        np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=0, atol=atol, err_msg=key)

    def off(self, key, value):
        """Returns how far a value is from the original's, as a share of what `check` allows."""
        expected = self.arrays[f"{self.mode}/{key}"]
        return float(np.abs(np.asarray(value, np.float64) - expected).max() / self._allowed(key))

    def _allowed(self, key):
        largest = np.abs(self.arrays[f"{self.mode}/{key}"]).max()
        return 10 * self.train["rounding"].get(f"{self.mode}/{key}", 0) + 2e-5 * largest

    def loss_values(self):
        """Returns {key of the original's array: value}: the logits, and the losses in all variants."""
        weights, share = self.train["label_weights"], self.train["top_k_percent_pixels"]
        ramp = {"top_k_percent_pixels": share, "hard_example_mining_step": self.train["hard_example_mining_step"]}
        variants = {
            "loss_plain": (None, {}, 0),
            "loss_label_weights": (weights, {}, 0),
            "loss_topk25": (None, {"top_k_percent_pixels": share}, 0),
            "loss_topk25_label_weights": (weights, {"top_k_percent_pixels": share}, 0),
            "loss_topk25_step400_of_1000": (None, ramp, self.train["hard_example_mining_global_step"]),
            "loss_downsampled_labels": (None, {"upsample_logits": False}, 0),
        }
        self.restart()
        outputs = scale_outputs(self.model)(self.images, training=True)
        values = {"logits": outputs["merged_logits"].numpy()}
        for key, (weights, options, at) in variants.items():
            objective = losses.Objective(LossConfig(**options), self.train["ignore_label"], weights)
            found = objective(outputs, tf.constant(self.labels), tf.constant(at, tf.int64))
            values[key] = sum(value.numpy() for value in found.values())
        return values

    def gradient_values(self):
        """Returns (the step, its gradients without L2 and multipliers, {key of the original's array: value})."""
        self.restart()
        step = self.step()
        gradients, found = step.gradients(tf.constant(self.images), tf.constant(self.labels))
        regularization = step.regularization().numpy()
        total = sum(value.numpy() for value in found.values()) + regularization
        return step, gradients, {"regularization_loss": regularization, "total_loss": total}

    def without_multipliers(self, step, gradients):
        """Returns ({variable: gradient with L2 and without multipliers}, norm of all gradients)."""
        step.multipliers, multipliers = dict.fromkeys(step.multipliers, 1.0), step.multipliers
        try:
            return step.shaped(dict(gradients), tf.constant(0, tf.int64))
        finally:
            step.multipliers = multipliers
