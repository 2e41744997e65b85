"""The first lines of a Keras user, for each family of backbones: build, fit, save, load, fine-tune, freeze, export."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import deeplab
from deeplab.model import backbones
from helpers import fake_data, keras_user, small_export
from helpers.places import ROOT

VOID = 255
IMAGES = np.stack([fake_data.image(33, 65, seed) for seed in range(2)])
LABELS = np.stack([fake_data.label(33, 65, seed=seed, num_classes=3, ignore=VOID) for seed in range(2)])


@pytest.fixture(scope="module", autouse=True)
def short_networks():
    """Networks with few blocks, whose graphs run as they were traced."""
    whole = keras_user.shorten()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    backbones.BACKBONES.update(whole)


def data(labels=LABELS):
    return tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(2)


def compiled(model, **options):
    rate = deeplab.keras.Schedule(base_learning_rate=0.01, training_number_of_steps=10, slow_start_step=1)
    metrics = [deeplab.keras.MeanIoU(model.config.num_classes)]
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), deeplab.keras.CrossEntropy(), metrics=metrics, **options)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("variant", keras_user.FAMILIES)
def test_first_lines(variant, tmp_path):
    model = keras_user.build(variant)
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "logits" in "".join(lines)
    compiled(model, run_eagerly=variant != "mobilenet_v2")  # tracing is most of what a test costs
    before = [weight.numpy() for weight in model.trainable_variables]
    history = model.fit(data(LABELS[..., None]), verbose=0).history
    assert any(np.any(weight.numpy() != old) for weight, old in zip(model.trainable_variables, before, strict=True))
    assert 0 < history["loss"][0] < 20
    loss, miou = model.evaluate(data(), verbose=0)
    labels, _ = deeplab.predict_labels(model, IMAGES)
    assert labels.shape == LABELS.shape
    assert 0 <= miou <= 1

    path = str(tmp_path / "m.keras")
    model.save(path)
    loaded = keras.models.load_model(path)  # compiled, with the state of the optimizer
    np.testing.assert_allclose(loaded.evaluate(data(), verbose=0), (loss, miou), rtol=1e-5)
    assert loaded.optimizer.iterations.numpy() == 1

    other = keras_user.build(variant, num_classes=5)
    report = deeplab.restore(other, path)
    assert {name.split("/")[0] for name in report.skipped} == {"logits"}
    other.freeze_backbone()
    compiled(other, run_eagerly=True)
    frozen = {weight.path: weight.numpy() for weight in other.backbone.variables if weight.name != "draws"}
    other.fit(data(), verbose=0)
    for weight in other.backbone.variables:
        np.testing.assert_array_equal(weight, frozen.get(weight.path, weight), err_msg=weight.path)
    assert other.trainable_variables


@pytest.mark.slow
def test_a_fresh_process_computes_the_same_logits(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    for variant in keras_user.FAMILIES:
        model = keras_user.build(variant)
        model.save(tmp_path / f"{variant}.keras")
        np.save(tmp_path / f"{variant}.npy", model(IMAGES))
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(clone(IMAGES), model(IMAGES))
        np.testing.assert_array_equal(*(deeplab.predict_labels(one, IMAGES)[0] for one in (clone, model)))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    saved = sorted(path.stem for path in tmp_path.glob("*.keras"))
    for first, loaded in (("keras", saved), ("deeplab", saved[:1])):
        command = [sys.executable, ROOT / "tests/helpers/keras_user.py", tmp_path, first]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.split()[2:] == loaded


@pytest.mark.slow
@pytest.mark.parametrize("variant", keras_user.FAMILIES)
def test_what_was_trained_in_keras_is_exported(variant, tmp_path):
    model = keras_user.build(variant, upsample_logits=True)
    assert model(IMAGES).shape == (*IMAGES.shape[:3], 3)
    model.save(tmp_path / "m.keras")
    folder = small_export.run(tmp_path / "export", checkpoint_dir=str(tmp_path / "m.keras"))
    segment = tf.saved_model.load(str(folder)).signatures["serving_default"]
    labels, _ = deeplab.predict_labels(model, IMAGES)
    assert np.mean(segment(images=tf.constant(IMAGES))["labels"] == labels) > 0.9999
