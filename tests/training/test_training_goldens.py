"""Losses, gradients, momentum steps and moving averages of the original (the `train` part of the golden cases).

Tolerances are ten times the rounding that the case records for float32: two runs of the original with other kernels
differ by that much. Gradients of a training batch norm are badly conditioned (four images), those of a frozen one not.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab.checkpoints.restoring import restore
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.training import TrainConfig
from deeplab.model.names import reference_name
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import losses
from deeplab.training.step import TrainingStep
from helpers import golden_cases

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_tracing")]
NAMES = [name for name in golden_cases.NAMES if "train" in golden_cases.load(name)[0]]
MODES = ("bn_train", "bn_frozen")
RATES = "steps_learning_rate"


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

    def check(self, key, value, factor=10, floor=2e-5):
        """Compares with the original's array of that key, within ten times the rounding that the case records."""
        expected = self.arrays[f"{self.mode}/{key}"]
        atol = factor * self.train["rounding"].get(f"{self.mode}/{key}", 0) + floor * np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=0, atol=atol, err_msg=key)


@pytest.fixture(scope="module", params=[(name, mode) for name in NAMES for mode in MODES], ids="-".join)
def subject(request):
    name, mode = request.param
    return Subject(*golden_cases.load(name), mode)


def test_losses(subject):
    weights, share = subject.train["label_weights"], subject.train["top_k_percent_pixels"]
    ramp = {"top_k_percent_pixels": share, "hard_example_mining_step": subject.train["hard_example_mining_step"]}
    variants = {
        "loss_plain": (None, {}, 0),
        "loss_label_weights": (weights, {}, 0),
        "loss_topk25": (None, {"top_k_percent_pixels": share}, 0),
        "loss_topk25_label_weights": (weights, {"top_k_percent_pixels": share}, 0),
        "loss_topk25_step400_of_1000": (None, ramp, subject.train["hard_example_mining_global_step"]),
        "loss_downsampled_labels": (None, {"upsample_logits": False}, 0),
    }
    subject.restart()
    outputs = scale_outputs(subject.model)(subject.images, training=True)
    subject.check("logits", outputs["merged_logits"])
    for key, (weights, options, at) in variants.items():
        objective = losses.Objective(LossConfig(**options), subject.train["ignore_label"], weights)
        found = objective(outputs, tf.constant(subject.labels), tf.constant(at, tf.int64))
        subject.check(key, sum(value.numpy() for value in found.values()))


def test_gradients_multipliers_and_moving_averages(subject):
    subject.restart()
    step, train = subject.step(), subject.train
    gradients, found = step.gradients(tf.constant(subject.images), tf.constant(subject.labels))
    subject.check("regularization_loss", step.regularization())
    subject.check("total_loss", sum(value.numpy() for value in found.values()) + step.regularization().numpy())
    step.multipliers, multipliers = dict.fromkeys(step.multipliers, 1.0), step.multipliers
    plain, norm = step.shaped(dict(gradients), tf.constant(0, tf.int64))
    step.multipliers = multipliers
    shaped, _ = step.shaped(dict(gradients), tf.constant(0, tf.int64))
    assert {name: value for name, value in multipliers.items() if value != 1} == train["gradient_multipliers"]
    subject.check("grad_global_norm", norm)
    names = train["trainable_variables"]
    rounding = subject.arrays[f"{subject.mode}/grad_norms_rounding"]
    for key, values in (("grad_norms", plain), ("grad_norms_multiplied", shaped)):
        norms = np.array([np.linalg.norm(values[name]) for name in names])
        expected = subject.arrays[f"{subject.mode}/{key}"]
        scale = np.array([train["gradient_multipliers"].get(name, 1.0) for name in names]) if "mult" in key else 1.0
        atol = 10 * rounding * scale + 1e-4 * expected + 1e-6 * expected.max()
        assert (np.abs(norms - expected) <= atol).all(), [
            (names[i], norms[i], expected[i], atol[i]) for i in np.flatnonzero(np.abs(norms - expected) > atol)
        ]
    for name in train["gradient_tensors"]:
        subject.check(f"grad:{name}", plain[name])
    if subject.mode == "bn_train":
        moving = {reference_name(variable): variable.numpy() for variable in subject.model.variables}
        for name in train["moving_average_tensors"]:
            subject.check(f"moving_after_1_step:{name}", moving[name])
        means = [moving[name].mean() for name in train["moving_average_variables"]]
        subject.check("moving_average_means_after_1_step", means)


def test_momentum_steps(subject):
    subject.restart()
    step = subject.step()
    reports = []
    run = tf.function(tf.autograph.experimental.do_not_convert(step))
    for _ in range(subject.train["num_steps"]):
        reports.append(run(tf.constant(subject.images), tf.constant(subject.labels)))
    names = subject.train["trainable_variables"]
    norms = [np.linalg.norm(step.variables[name].numpy()) for name in names]
    subject.check("weight_norms_after_steps", norms)
    reports.append(run(tf.constant(subject.images), tf.constant(subject.labels)))
    subject.check("steps_total_loss", [report["loss"] for report in reports])
    subject.check(RATES, [report["learning_rate"] for report in reports])
