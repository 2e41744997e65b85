"""ImageNet weights of keras.applications.MobileNetV2, here with random values."""

import keras
import numpy as np
import pytest

import deeplab
from deeplab.checkpoints import keras_applications
from deeplab.checkpoints.restoring import restore_backbone

LAST_OF_BACKBONE = {"keras": "block_16_project_BN", "ours": "MobilenetV2.expanded_conv_16.project.BatchNorm"}


def random_keras_model(size, alpha, include_top=False):
    """Returns a keras.applications.MobileNetV2 with arbitrary weights and statistics."""
    top = {"include_top": True, "classes": 7} if include_top else {"include_top": False}
    model = keras.applications.MobileNetV2(input_shape=(*size, 3), alpha=alpha, weights=None, **top)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "moving_variance")):
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif variable.path.endswith(("beta", "moving_mean")):
            variable.assign(rng.uniform(-0.5, 0.5, variable.shape))
    return model


def save_as_keras_2(model, path):
    """The layout of the published files: a group for each layer, datasets that end in ":0"."""
    import h5py

    with h5py.File(path, "w") as file:
        for layer in model.layers:
            group = file.create_group(layer.name)
            for variable in layer.variables:
                group.create_dataset(f"{layer.name}/{variable.name}:0", data=np.asarray(variable))


SAVES = {
    "keras3.weights.h5": lambda model, path: model.save_weights(path),
    "whole_model.h5": lambda model, path: model.save(path),
    "published.h5": save_as_keras_2,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", SAVES)
@pytest.mark.parametrize("include_top", [False, True])
def test_features_are_those_of_keras(form, include_top, tmp_path):
    alpha, size = (0.35, (64, 97))
    theirs = random_keras_model(size, alpha, include_top)
    path = str(tmp_path / form)
    SAVES[form](theirs, path)
    config = deeplab.ModelConfig(depth_multiplier=alpha, divisible_by=8, output_stride=32, aspp_convs_filters=8)
    ours = deeplab.build_model(config, (*size, 3))
    report = restore_backbone(ours, config, path)
    assert not [name for name in report.missing if name.startswith("MobilenetV2")]
    assert all(reason.startswith("classifier of an ImageNet") for reason in report.skipped.values())
    images = np.random.default_rng(1).integers(0, 256, (1, *size, 3)).astype(np.float32)
    features = keras.Model(ours.input, ours.get_layer(LAST_OF_BACKBONE["ours"]).output)
    expected = keras.Model(theirs.input, theirs.get_layer(LAST_OF_BACKBONE["keras"]).output)(images / 127.5 - 1)
    np.testing.assert_allclose(features(images), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_full_width_needs_no_rounding(tmp_path):
    path = str(tmp_path / "full.weights.h5")
    random_keras_model((32, 32), 1.0).save_weights(path)
    config = deeplab.ModelConfig()
    report = restore_backbone(deeplab.build_model(config), config, path)
    assert not [name for name in report.missing if name.startswith("MobilenetV2")]


def test_weights_of_other_networks_are_refused(tmp_path):
    path = str(tmp_path / "other.weights.h5")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")]).save_weights(path)
    with pytest.raises(deeplab.UserError, match=r"other\.weights\.h5.*'head' belongs to no MobileNetV2"):
        keras_applications.read(path)


@pytest.mark.parametrize(
    "options",
    [{"model_variant": "xception_65"}, {"depth_multiplier": 0.6, "divisible_by": 8}, {"depth_multiplier": 0.5}],
)
def test_imagenet_weights_that_do_not_exist_are_refused(options):
    with pytest.raises(deeplab.UserError, match="backbone_weights='imagenet'"):
        keras_applications.imagenet_file(deeplab.ModelConfig(**options))


def test_imagenet_uses_the_cache_of_keras(tmp_path, monkeypatch):
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    (tmp_path / "models").mkdir()
    save_as_keras_2(random_keras_model((32, 32), 0.35), tmp_path / "models" / name)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path), raising=False)
    config = deeplab.ModelConfig(depth_multiplier=0.35, divisible_by=8)
    assert restore_backbone(deeplab.build_model(config), config, "imagenet").source.endswith(name)
