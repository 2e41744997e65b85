"""The whole training step of real networks compiles under XLA with static shapes, as TPUs demand; the loss is equal."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.config.model import ModelConfig
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import losses
from deeplab.training.step import TrainingStep
from helpers import tiny_training as tiny

SIDE = 33


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenet_v2", "xception_65"])
def test_the_step_compiles_with_the_same_loss(variant):
    devices.set_seed(0)
    config = ModelConfig(
        model_variant=variant, num_classes=5, output_stride=16, decoder_output_stride=(4,), crop_size=(SIDE, SIDE)
    )
    model = build_model(config, (SIDE, SIDE, 3))
    for layer in model.layers:
        if "dropout" in layer.name:
            layer.rate = 0.0  # XLA draws other random numbers
    settings = tiny.config()
    step = TrainingStep(scale_outputs(model), losses.Objective(settings.loss, tiny.IGNORE), settings)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8))
    labels = tf.constant(rng.integers(0, 5, (2, SIDE, SIDE)).astype(np.uint8))
    plain = tf.autograph.experimental.do_not_convert(step)
    _, expected = step.gradients(images, labels)
    found = tf.function(plain, jit_compile=True)(images, labels)
    assert float(found["merged_logits"]) == pytest.approx(float(expected["merged_logits"]), rel=1e-4)
    assert np.isfinite(float(found["gradient_norm"]))
