"""Layers against their definitions."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import ModelConfig, build_model
from deeplab.layers import batch_norm, fast_batch_norm
from deeplab.layers.basic import AveragePooling, Conv, DepthwiseConv, ResizeToScale
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.fast_convolution import drop_padding_only_taps
from deeplab.layers.resize import resize_bilinear, resize_nearest
from deeplab.layers.stochastic import Dropout, DropPath, set_progress
from deeplab.model.names import reference_name
from deeplab.training.step import is_last_layer
from helpers.tiny_training import two_replicas

RNG = np.random.default_rng(1)


def correlate(x, kernel, rate):
    """Depthwise correlation with zero padding, by definition: x (H, W, C), kernel (k, k, C)."""
    k, (rate_h, rate_w) = kernel.shape[0], rate
    pad_h, pad_w = rate_h * (k // 2), rate_w * (k // 2)
    padded = np.pad(x, [(pad_h, pad_h), (pad_w, pad_w), (0, 0)])
    taps = [(i, j) for i in range(k) for j in range(k)]
    height, width = x.shape[:2]
    return sum(
        padded[i * rate_h : i * rate_h + height, j * rate_w : j * rate_w + width] * kernel[i, j] for i, j in taps
    )


@pytest.mark.parametrize("rate", [1, 2, 5, (3, 7), (12, 18), (3, 13)])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_atrous_depthwise_and_its_gradient(rate, kernel_size):
    layer = DepthwiseConv(kernel_size, rate=rate)
    x = tf.constant(RNG.normal(size=(1, 11, 13, 4)).astype(np.float32))
    layer.build(x.shape)
    kernel, rates = layer.kernel.numpy()[..., 0], layer.rate
    expected = correlate(x[0].numpy(), kernel, rates)
    np.testing.assert_allclose(layer(x)[0], expected, atol=1e-5)
    any_size = tf.function(layer.call, input_signature=[tf.TensorSpec((None, None, None, 4))])
    assert any_size.get_concrete_function().output_shapes.rank == 4
    np.testing.assert_allclose(any_size(x)[0], expected, atol=1e-5)
    slopes = RNG.normal(size=x.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * slopes)
    by_x, by_kernel = tape.gradient(loss, (x, layer.kernel.value))
    np.testing.assert_allclose(by_x[0], correlate(slopes[0], kernel[::-1, ::-1], rates), atol=1e-4)
    for tap in np.ndindex(kernel_size, kernel_size):
        only = np.zeros_like(kernel)
        only[tap] = 1
        by_tap = (correlate(x[0].numpy(), only, rates) * slopes[0]).sum((0, 1))
        np.testing.assert_allclose(by_kernel[tap][:, 0], by_tap, atol=1e-4)


def test_taps_beyond_the_cells_are_left_out():
    kernel = tf.ones((3, 3, 2, 1))
    assert drop_padding_only_taps(kernel, (8, 9), (9, 9))[0].shape == (3, 1, 2, 1)
    assert drop_padding_only_taps(kernel, (18, 18), (17, 17))[0].shape == (1, 1, 2, 1)
    assert drop_padding_only_taps(kernel, (18, 18), (17, None))[1] == (1, 18)
    assert drop_padding_only_taps(kernel, (18, 18), (None, None))[0].shape == kernel.shape


def test_pointwise_convolution_learns_as_any_other():
    layer = Conv(5, 1)
    x = tf.constant(RNG.normal(size=(2, 3, 4, 7)).astype(np.float32))
    layer.build(x.shape)
    results = []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(y))
        results.append((y, *tape.gradient(loss, (x, layer.kernel.value))))
    for expected, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [1, 2, 3, 9, 12])
def test_atrous_convolution_and_its_gradient(rate):
    layer = Conv(1, 3, rate=rate)
    x = tf.constant(RNG.normal(size=(1, 9, 10, 2)).astype(np.float32))
    layer.build(x.shape)
    kernel = layer.kernel.numpy()[..., 0]
    expected = correlate(x[0].numpy(), kernel, (rate, rate)).sum(-1)
    np.testing.assert_allclose(layer(x)[0, ..., 0], expected, atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()[..., 0]
    bumped = kernel.copy()
    bumped[0, 2, 1] += 1e-2
    more = np.square(correlate(x[0].numpy(), bumped, (rate, rate)).sum(-1)).sum()
    bumped[0, 2, 1] -= 2e-2
    less = np.square(correlate(x[0].numpy(), bumped, (rate, rate)).sum(-1)).sum()
    np.testing.assert_allclose(gradient[0, 2, 1], (more - less) / 2e-2, rtol=1e-2)


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 9)])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_explicit_padding_is_symmetric_for_every_size(size, kernel_size):
    x = tf.constant(RNG.normal(size=(1, *size, 3)).astype(np.float32))
    strided = DepthwiseConv(kernel_size, stride=2, padding="explicit")
    strided.build(x.shape)
    dense = DepthwiseConv(kernel_size)
    dense.build(x.shape)
    dense.kernel.assign(strided.kernel)
    np.testing.assert_allclose(strided(x), dense(x)[:, ::2, ::2], atol=1e-5)
    assert tuple(strided(x).shape) == strided.compute_output_shape(x.shape)


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (4, 4, 6, 3), (1, 5, 6, 24), (2, 5, 5, 16)])  # whole, 16, 2, whole
def test_batch_norm_normalises_by_the_batch_and_keeps_unbiased_variance(shape, monkeypatch):
    monkeypatch.setattr(fast_batch_norm, "_SMALL", 0)
    layer = BatchNorm(epsilon=1e-3, decay=0.9, warmup=False)
    x = RNG.normal(2.0, 3.0, size=shape).astype(np.float32)
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y, (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3), atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var((0, 1, 2), ddof=1), rtol=1e-4)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(variance + 1e-3), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 1, 3), (1, 1, 3, 3), (4, 1, 1, 3)])
def test_batch_norm_with_too_few_values_uses_its_averages(shape):
    layer = BatchNorm(epsilon=1e-3, decay=0.9)
    x = RNG.normal(2.0, 3.0, size=shape).astype(np.float32)
    layer.build(shape)
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    few, expected = np.prod(shape[:-1]) < 4, layer(x).numpy()
    assert (layer(x, training=True).numpy() == expected).all() == few
    assert (layer.moving_mean.numpy() == [1, 2, 3]).all() == few
    assert (layer.moving_variance.numpy() == 1).all() == few
    assert layer.update_count.numpy() == (0 if few else 1)


def test_warm_up_forgets_the_initial_statistics():
    layer = BatchNorm(epsilon=1e-3, decay=0.9997)
    x = np.full((2, 4, 4, 1), 5.0, np.float32)
    for n in range(20):
        decay = (1 + n) / (10 + n)
        before = layer.moving_mean.numpy() if n else np.zeros(1, np.float32)
        layer(x, training=True)
        np.testing.assert_allclose(layer.moving_mean, before * decay + 5 * (1 - decay), rtol=1e-5)
    assert layer.moving_mean.numpy()[0] > 4.99
    layer.update_count.assign(1e6)
    before = layer.moving_mean.numpy()
    layer(x * 2, training=True)
    np.testing.assert_allclose(layer.moving_mean, before * 0.9997 + 10 * 0.0003, rtol=1e-6)


def test_the_gradient_of_cells_taken_together_is_that_of_batch_norm(monkeypatch):
    monkeypatch.setattr(fast_batch_norm, "_SMALL", 0)
    x = tf.constant(RNG.normal(100.0, 2.0, size=(3, 2, 3, 24)).astype(np.float32))  # a mean far from 0
    weights = tf.constant(RNG.normal(size=x.shape).astype(np.float32))
    layer = BatchNorm(epsilon=1e-3, decay=0.5)
    layer.build(x.shape)
    layer.gamma.assign(RNG.normal(size=24))

    def plain(x):
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        return tf.nn.batch_normalization(x, mean, variance, layer.beta.value, layer.gamma.value, 1e-3)

    results = []
    for norm in (lambda x: layer(x, training=True), plain):
        with tf.GradientTape() as tape:
            tape.watch((x, layer.gamma.value, layer.beta.value))
            y = norm(x)
            loss = tf.reduce_sum(tf.sin(y) * weights)
        results.append((y, *tape.gradient(loss, (x, layer.gamma.value, layer.beta.value))))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-4)


def test_which_cells_are_taken_together():
    groups = {
        shape: fast_batch_norm._groups(tf.zeros(shape)) for shape in ((2, 17, 17, 728), (2, 5, 5, 728), (2, 33, 33, 64))
    }
    assert list(groups.values()) == [2, 1, 1]


@pytest.mark.parametrize("cells", [1, 3, 4])  # few, as they are; 8 taken together
def test_batch_norm_over_replicas_is_that_of_the_whole_batch(cells, monkeypatch):
    monkeypatch.setattr(fast_batch_norm, "_SMALL", 0)
    strategy = two_replicas()
    x = RNG.normal(1.0, 2.0, size=(4, cells, cells, 2)).astype(np.float32)
    with strategy.scope():
        shared = BatchNorm(epsilon=1e-3, decay=0.5, warmup=False)
        shared.build((None, cells, cells, 2))
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[2 * context.replica_id_in_sync_group :][:2])
    )
    single = BatchNorm(epsilon=1e-3, decay=0.5, warmup=False)
    single.build((None, cells, cells, 2))
    for layer in (shared, single):
        layer.gamma.assign([0.5, 2.0])
        layer.beta.assign([1.0, -1.0])

    def outputs_and_gradients(layer, part):
        with tf.GradientTape() as tape:
            tape.watch((part, layer.gamma.value, layer.beta.value))
            y = layer(part, training=True)
            loss = tf.reduce_sum(tf.sin(y))  # whose gradient differs from pixel to pixel
        return y, *tape.gradient(loss, (part, layer.gamma.value, layer.beta.value))

    results = tf.function(lambda: strategy.run(outputs_and_gradients, (shared, parts)))()
    y, dx, dgamma, dbeta = (np.stack(strategy.experimental_local_results(result)) for result in results)
    expected = [tensor.numpy() for tensor in outputs_and_gradients(single, tf.constant(x))]
    np.testing.assert_allclose(np.concatenate(y), expected[0], atol=1e-5)
    np.testing.assert_allclose(np.concatenate(dx), expected[1], atol=1e-5)
    np.testing.assert_allclose(dgamma.sum(0), expected[2], atol=1e-4)
    np.testing.assert_allclose(dbeta.sum(0), expected[3], atol=1e-4)
    np.testing.assert_allclose(shared.moving_variance.numpy(), single.moving_variance.numpy(), rtol=1e-5)
    assert shared.update_count.numpy() == 1


def test_resizes_align_corners():
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5, 1)
    np.testing.assert_allclose(resize_bilinear(tf.constant(x), (1, 9))[0, 0, :, 0], np.arange(9) / 2, atol=1e-6)
    labels = tf.constant(np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1))
    np.testing.assert_array_equal(resize_nearest(labels, (1, 3))[0, 0, :, 0], [0, 2, 4])
    assert resize_nearest(labels, (1, 3)).dtype == tf.uint8
    assert resize_bilinear(tf.zeros((1, 2, 2, 1), tf.bfloat16), (3, 3)).dtype == tf.bfloat16


def test_resize_to_scale_takes_the_size_of_the_crop_or_the_image():
    features, image = tf.ones((1, 3, 3, 2)), tf.zeros((1, 65, 97, 3))
    assert ResizeToScale(1 / 16)([features, image]).shape == (1, 5, 7, 2)
    assert ResizeToScale(1 / 4, crop_size=(33, 17))([features, image]).shape == (1, 9, 5, 2)


def test_average_pooling_of_a_window_slides():
    x = tf.constant(RNG.normal(size=(1, 5, 9, 2)).astype(np.float32))
    np.testing.assert_allclose(AveragePooling(None, 16, (1, 1))(x)[0, 0, 0], x[0].numpy().mean((0, 1)), rtol=1e-5)
    layer = AveragePooling((33, 65), 16, (2, 4))  # a window of 3 x 5 cells
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (1, 2, 2, 2)
    np.testing.assert_allclose(layer(x)[0, 1, 1], x[0, 2:5, 4:9].numpy().mean((0, 1)), rtol=1e-4)


@pytest.mark.parametrize("crop_size", [None, (65, 65)])
def test_average_pooling_in_float16_does_not_overflow(crop_size):
    layer = AveragePooling(crop_size, 1, (1, 1), dtype="float16")
    pooled = layer(tf.fill((1, 66, 65, 1), tf.constant(100, tf.float16)))  # the sum is above 400,000
    np.testing.assert_allclose(pooled, np.full(pooled.shape, 100, np.float16))


def test_dropout_draws_anew_each_time_and_repeats_from_its_counter():
    layer = Dropout(0.1, name="concat_projection.dropout")
    x = tf.ones((2, 20, 20, 10))
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert (first != second).any()
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.9], rtol=1e-6)
    assert abs((first == 0).mean() - 0.1) < 0.02
    layer.draws.assign(0)
    np.testing.assert_array_equal(layer(x, training=True), first)
    np.testing.assert_array_equal(layer(x), x)


def test_dropout_over_replicas_is_that_of_the_whole_batch():
    strategy = two_replicas()
    with strategy.scope():
        shared = Dropout(0.5, name="a")
        shared.build((None, 3, 3, 2))
    run = tf.function(lambda: strategy.run(lambda: shared(tf.ones((2, 3, 3, 2)), training=True)))
    parts = strategy.experimental_local_results(run())
    np.testing.assert_array_equal(np.concatenate(parts), Dropout(0.5, name="a")(tf.ones((4, 3, 3, 2)), training=True))
    assert shared.draws.numpy() == 1


def test_drop_path_drops_whole_examples_and_more_as_training_goes_on():
    layer = DropPath(0.25, name="a")
    x = tf.ones((400, 2, 2, 1))
    np.testing.assert_array_equal(layer(x, training=True), x)  # no progress yet
    layer.progress.assign(1.0)
    y = layer(x, training=True).numpy().reshape(400, 4)
    assert (y.min(axis=1) == y.max(axis=1)).all()
    np.testing.assert_allclose(np.unique(y), [0, 4])
    assert abs((y[:, 0] > 0).mean() - 0.25) < 0.08
    np.testing.assert_array_equal(layer(x), x)


def test_drop_paths_of_a_network_hear_of_the_progress():
    config = ModelConfig(model_variant="nas_pnasnet", drop_path_keep_prob=0.5)
    model = build_model(config)
    set_progress(model, 0.5)
    paths = [layer for layer in model.layers if isinstance(layer, DropPath)]
    assert len(paths) == 12 * 9  # five pairs of operations, one of them without a weight
    assert {layer.progress.numpy() for layer in paths} == {0.5}
    assert min(layer.keep_probability for layer in paths) == 0.5


@pytest.mark.parametrize("variant", ["mobilenet_v2", "mobilenet_v3_small_seg", "resnet_v1_18", "xception_41"])
def test_every_family_trains_on_one_image_and_while_its_backbone_is_frozen(variant):
    """With one image, image pooling keeps its averages. So do the norms of a frozen backbone, and no others."""
    model = build_model(ModelConfig(model_variant=variant, output_stride=16, num_classes=3), (65, 65, 3))
    norms = {layer.name: layer for layer in model.layers if isinstance(layer, BatchNorm)}
    (pooling,) = batch_norm.with_few_values(model, 1)
    assert "image_pooling" in pooling
    images = np.random.default_rng(0).uniform(0, 255, (1, 65, 65, 3)).astype(np.float32)

    def kept():
        before = {name: norm.moving_variance.numpy() for name, norm in norms.items()}
        model(images, training=True)
        return {name for name, norm in norms.items() if np.array_equal(before[name], norm.moving_variance)}

    assert kept() == {pooling}
    head = {name for name in norms if is_last_layer(reference_name(norms[name].moving_variance))}
    batch_norm.freeze_while(model, lambda: tf.constant(True), lambda norm: norm.name not in head)
    assert kept() == norms.keys() - head | {pooling}
