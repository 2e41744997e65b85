"""Training goes on from the original's checkpoint with other classes, and from a .tflite whose statistics are lost."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.checkpoints.batch_norms import recalibrate_batch_norm
from deeplab.checkpoints.sources import WeightsFile
from deeplab.config.optimization import ScheduleConfig
from deeplab.config.training import TrainConfig
from deeplab.model.views import scale_outputs
from deeplab.training import losses
from deeplab.training.step import TrainingStep
from helpers import golden_cases

pytestmark = pytest.mark.slow

CASE = "mobilenet_v2_os16"
CLASSES = 5
STEPS = 12
BATCH_NORM_EPSILON = {"Mobilenet": 1e-3, "": 1e-5}  # backbone, head


def folded(values):
    """Returns the `WeightsFile` that folding the batch norms of a checkpoint into its convolutions gives."""
    kernels, biases = {}, {}
    for name, kernel in values.items():
        scope, _, leaf = name.rpartition("/")
        if leaf not in ("weights", "depthwise_weights"):
            continue
        if f"{scope}/biases" in values:
            kernels[name], biases[scope] = kernel, values[f"{scope}/biases"]
            continue
        gamma, beta, mean, variance = (
            values[f"{scope}/BatchNorm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        epsilon = BATCH_NORM_EPSILON["Mobilenet" if scope.startswith("Mobilenet") else ""]
        scale = gamma / np.sqrt(variance + epsilon)
        kernels[name] = kernel * (scale[:, None] if leaf == "depthwise_weights" else scale)
        biases[scope] = beta - mean * scale
    return WeightsFile("folded.tflite", "TFLite file", kernels, biases)


@pytest.fixture(scope="module")
def golden():
    case, arrays = golden_cases.load(CASE)
    return case, arrays["train_images"], arrays["train_labels"] % CLASSES


@pytest.mark.parametrize("form", ["checkpoint", "folded"])
def test_loss_falls(golden, form):
    case, images, labels = golden
    network = deeplab.build_model(golden_cases.config_of(case, num_classes=CLASSES))
    source = golden_cases.source_of(case) if form == "checkpoint" else folded(golden_cases.checkpoint_values(case))
    report = deeplab.restore(network, source)
    assert "logits/semantic/weights" in report.skipped
    assert not report.missing
    if form == "folded":
        before = network(images).numpy()
        recalibrate_batch_norm(network, [images])
        np.testing.assert_allclose(network(images), before, atol=1e-3 * np.abs(before).max())
    config = TrainConfig(
        train_logdir="unused",
        dataset_dir="unused",
        schedule=ScheduleConfig(base_learning_rate=1e-3, training_number_of_steps=STEPS),
    )
    step = TrainingStep(scale_outputs(network), losses.Objective(config.loss, 255), config)
    update = tf.function(lambda: step(images, labels)["loss"], autograph=False)
    history = [float(update()) for _ in range(STEPS)]
    assert np.isfinite(history).all()
    assert np.mean(history[-3:]) < 0.95 * history[0]
