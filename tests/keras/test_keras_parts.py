"""Layers that describe themselves, names that Keras knows, losses, metric and schedule; and what each refuses."""

import dataclasses
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import deeplab
from deeplab import registry
from deeplab.checkpoints import keras_file, sources
from deeplab.config.optimization import LossConfig, ScheduleConfig
from deeplab.evaluation.metrics import Scores, confusion_matrix
from deeplab.layers import basic, batch_norm, pooling, stochastic
from deeplab.layers.folded import Folded
from deeplab.model.blocks import he_initializer
from deeplab.training.losses import Objective
from deeplab.training.schedules import learning_rate

LAYERS = (
    basic.Activation("relu6"),
    basic.Normalize(2.0, (1.0, 2.0, 3.0)),
    basic.Conv(5, 3, use_bias=True, stride=2, padding="explicit", initializer=he_initializer()),
    basic.DepthwiseConv(3, before="relu", rate=(2, 4)),
    basic.SeparableConv(5, 3),
    basic.ResizeToScale(0.5, (9, 17)),
    basic.ResizeLike(2),
    basic.Sum(),
    basic.AveragePooling((9, 9), 4, (1, 1)),
    batch_norm.BatchNorm(1e-3, 0.99, warmup=False, frozen=True, activation="relu"),
    pooling.MaxPooling(3, 2),
    stochastic.Dropout(0.2, random_seed=7),
    stochastic.DropPath(0.7),
)
LABELS = np.random.default_rng(0).integers(0, 3, (2, 9, 9)).astype(np.uint8)
LABELS[:, :2] = 255
LOGITS = np.random.default_rng(1).normal(0, 2, (2, 3, 3, 3)).astype(np.float32)
pytestmark = pytest.mark.usefixtures("shortest_mobilenet")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_is_made_again_from_its_configuration(layer):
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert {"name", "trainable", "dtype"} < set(config)
    if not isinstance(layer, (basic.ResizeToScale, basic.ResizeLike, basic.Sum)):
        x = tf.random.stateless_uniform((2, 9, 17, 3), (1, 2))
        layer(x)
        again(x)
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(layer(x), again(x))


def test_a_folded_layer_is_made_again_from_its_configuration():
    x = tf.random.stateless_uniform((2, 9, 9, 3), (1, 2))
    for layer, shift in (
        (basic.Conv(5, 3, stride=2), 0.5),
        (basic.DepthwiseConv(3), None),
        (basic.SeparableConv(4, 3), 1),
    ):
        layer(x)
        folded = Folded(layer, 2.0, shift, "relu")
        again = Folded.from_config(folded.get_config())
        again.set_weights(folded.get_weights())
        np.testing.assert_array_equal(folded(x), again(x))


def test_keras_knows_every_class_of_ours():
    """A class without a stand-in would be unknown to a process that only imports deeplab."""
    import deeplab.keras  # noqa: F401, registers

    registered = {name for name in keras.utils.get_custom_objects() if name.startswith(registry.PREFIX)}
    assert registered == {registry.PREFIX + name for name in registry.NAMES}
    kinds = {type(layer).__name__ for layer in LAYERS} | {"Folded"}
    assert kinds == set(registry.LAYERS)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (deeplab.keras.CrossEntropy(class_weights=[1, 2, 3]), {}),
        (deeplab.keras.CrossEntropy(label_smoothing=0.1, top_k_percent_pixels=0.5), None),
        (deeplab.keras.Focal(focal_gamma=1.0, region_loss="dice"), None),
    ],
)
def test_losses_are_those_of_training(loss, settings):
    own = {name: getattr(loss.settings, name) for name in loss.options}
    objective = Objective(LossConfig(loss=loss.kind, **own), 255, loss.class_weights)
    expected = objective({"": tf.constant(LOGITS)}, tf.constant(LABELS, tf.int32), tf.zeros((), tf.int64))[""]
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    for one in (loss, again):
        assert float(one(LABELS[..., None].astype(np.float32), LOGITS)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("loss", [deeplab.keras.Dice(), deeplab.keras.Lovasz()])
def test_region_losses_fall_to_zero_where_all_is_right(loss):
    right = tf.one_hot(np.where(LABELS == 255, 0, LABELS), 3) * 100
    assert float(loss(LABELS, right)) < 1e-3 < float(loss(LABELS, LOGITS))
    assert loss.from_config(loss.get_config()).get_config() == loss.get_config()


def test_void_alone_gives_no_loss():
    assert float(deeplab.keras.CrossEntropy()(np.full((1, 9, 9), 255), LOGITS[:1])) == 0
    assert float(deeplab.keras.CrossEntropy(ignore_label=None)(np.zeros((1, 9, 9)), LOGITS[:1])) > 0


def test_mean_iou_is_that_of_eval():
    metric = deeplab.keras.MeanIoU(3)
    for part in range(2):
        metric.update_state(LABELS[part : part + 1], LOGITS[part : part + 1])
    predictions = tf.argmax(tf.raw_ops.ResizeBilinear(images=LOGITS, size=(9, 9), align_corners=True), -1)
    expected = Scores.from_confusion(confusion_matrix(LABELS, predictions, 3, 255)).mean_iou
    assert float(metric.result()) == pytest.approx(expected)
    metric.reset_state()
    assert float(metric.result()) == 0
    assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()


def test_a_schedule_is_that_of_training():
    options = {"base_learning_rate": 0.007, "training_number_of_steps": 100, "slow_start_step": 10}
    schedule = deeplab.keras.Schedule(**options)
    optimizer = keras.optimizers.SGD(schedule)
    again = type(optimizer).from_config(optimizer.get_config())
    for step in (0, 9, 10, 50, 100):
        expected = float(learning_rate(ScheduleConfig(**options), step))
        assert float(schedule(step)) == expected
    assert again.get_config()["learning_rate"] == optimizer.get_config()["learning_rate"]


def _one_hot():
    deeplab.keras.CrossEntropy()(tf.one_hot(LABELS, 3), LOGITS)


REFUSED = {
    "no such network; expected": lambda: deeplab.build_model("mobilenet_v4"),
    "did you mean num_classes": lambda: deeplab.build_model("mobilenet_v2", num_class=3),
    "expected a deeplab.ModelConfig": lambda: deeplab.build_model(3),
    r"input_shape=\(65, 65\): expected \(height, width, 3\)": lambda: deeplab.build_model("mobilenet_v2", (65, 65)),
    "expected class ids": _one_hot,
    "takes no sample_weight": lambda: deeplab.keras.CrossEntropy()(LABELS, LOGITS, sample_weight=LABELS),
    "no option of Focal; did you mean focal_gamma": lambda: deeplab.keras.Focal(gamma_focal=3),
    "3 classes": lambda: deeplab.keras.MeanIoU(4).update_state(LABELS, LOGITS),
    "no option of a learning rate; did you mean base_learning_rate": lambda: deeplab.keras.Schedule(learning_rate=1),
    "class_weights: 2 weights": lambda: deeplab.keras.CrossEntropy(class_weights=[1, 2])(LABELS, LOGITS),
    "ignore_label='255'": lambda: deeplab.keras.Dice(ignore_label="255"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_mistakes_are_told_in_one_line(message):
    with pytest.raises(deeplab.UserError, match=message) as told:
        REFUSED[message]()
    assert "\n" not in str(told.value)


def test_labels_that_are_no_class_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither a class, 0 to 2, nor ignore_label=254"):
        deeplab.keras.CrossEntropy(ignore_label=254)(LABELS, LOGITS)


@pytest.fixture(scope="module")
def model(shortest_mobilenet):
    return deeplab.build_model("mobilenet_v2", num_classes=3, output_stride=16, depth_multiplier=0.25)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("photo.jpg", "got str of type string"),
        (np.zeros((9, 9, 3)), r"pass image\[None\]"),
        (np.zeros((1, 9, 9)), r"has shape \(1, 9, 9\)"),
        ([np.zeros((9, 9, 3)), np.zeros((9, 8, 3))], "got list; .* all of one size"),
    ],
)
def test_predict_labels_says_what_it_got(model, images, message):
    with pytest.raises(deeplab.UserError, match=message):
        deeplab.predict_labels(model, images)


def test_a_model_of_another_kind_is_refused(model):
    with pytest.raises(deeplab.UserError, match=r"expected a model of deeplab\.build_model"):
        deeplab.predict_labels(keras.Model(model.input, model.output), np.zeros((1, 9, 9, 3)))


def test_a_name_stands_for_its_configuration(model):
    assert model.config == deeplab.ModelConfig(num_classes=3, output_stride=16, depth_multiplier=0.25)
    preset = deeplab.MODELS["mobilenetv2_dm05_coco_voc_trainaug"].config
    named = deeplab.build_model("mobilenetv2_dm05_coco_voc_trainaug", output_stride=8)
    assert named.config == dataclasses.replace(preset, output_stride=8)


@pytest.mark.slow
def test_upsampled_logits_have_the_size_of_the_input(model):
    upsampled = deeplab.build_model(model.config, upsample_logits=True)
    upsampled.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (1, 33, 49, 3)).astype(np.uint8)
    assert upsampled(images).shape == (1, 33, 49, 3)
    for one, other in zip(*(deeplab.predict_labels(m, images) for m in (model, upsampled)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_saved_network_keeps_types_frozen_layers_and_what_is_known_of_its_training(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = deeplab.build_model("mobilenet_v2", num_classes=3, depth_multiplier=0.25)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.freeze_backbone()
    model.parts.record = {"trained_size": [65, 65]}
    path = str(tmp_path / "m.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.get_layer("MobilenetV2.Conv").compute_dtype == "bfloat16"
    assert [v.path for v in loaded.trainable_variables] == [v.path for v in model.trainable_variables]
    assert not loaded.get_layer("MobilenetV2.Conv").trainable
    assert keras_file.describe(path).record == {"trained_size": [65, 65]}
    values = sources.read(path).values
    np.testing.assert_array_equal(values["MobilenetV2/Conv/weights"], model.get_layer("MobilenetV2.Conv").kernel)
    assert deeplab.load(path).trained_size == (65, 65)


def _other_program(path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)


def _no_configuration(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", "{}")


OURS = '{"registered_name": "deeplab>DeepLab", "config": {"model": %s}}'


def _odd_configuration(path, content=OURS % '{"num_classes": "x"}'):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", content)


def _no_json(path):
    _odd_configuration(path, "[" * 100_000)


def _no_weights(path):
    _odd_configuration(path, OURS % "{}")


DAMAGED = {
    "holds 'Sequential' of another program": _other_program,
    "it holds no config.json": _no_configuration,
    "num_classes='x': expected int": _odd_configuration,
    "or damaged": _no_json,
    "it holds no model.weights.h5": _no_weights,
    "not a .keras file of Keras 3": lambda path: path.write_bytes(b"no archive"),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_files_of_other_programs_are_refused_in_one_line(message, tmp_path):
    path = tmp_path / "m.keras"
    DAMAGED[message](path)
    with pytest.raises(deeplab.UserError, match=message) as told:
        deeplab.load(str(path))
    assert str(told.value).startswith(str(path))
    assert "\n" not in str(told.value)
