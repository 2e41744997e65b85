"""random_seed reaches every source of random numbers: equal seeds give equal numbers, different seeds other numbers."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.checkpoints import bundle
from deeplab.config.data import AugmentConfig, InputConfig
from deeplab.config.training import RunConfig
from deeplab.data import pipeline, source
from deeplab.errors import UserError
from deeplab.layers.basic import Conv
from deeplab.layers.stochastic import Dropout, DropPath, set_random_seed
from deeplab.training.state import Checkpoints
from helpers import fake_data
from helpers import tiny_training as tiny


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return fake_data.shards(tmp_path_factory.mktemp("data"), {"train": 7, "one": 1})


def initial_weights(seed, _shards):
    devices.set_seed(seed)
    layer = Conv(4, 3)
    layer.build((None, 5, 5, 2))
    return layer.kernel.numpy()


def batch(seed, shards, split, batch_size):
    share = pipeline.Batches((33, 33), batch_size, (0, 0, 0), seed, 0, 1)
    split = source.open_split(shards, split, None, InputConfig())
    return next(iter(pipeline.train_batches(split, AugmentConfig(), share)))


def order(seed, shards):
    return batch(seed, shards, "train", 7)[2].numpy()


def augmentation(seed, shards):
    return batch(seed, shards, "one", 4)[0].numpy()


def dropout_of_the_training(seed, _shards):
    step = tiny.step(tiny.config(run=RunConfig(random_seed=seed)), dropout=0.5)  # with equal weights for every seed
    return np.array(tiny.train(step, count=1)["loss"])


def drop_path(seed, _shards):
    images = tf.keras.Input((1, 1, 1))
    layer = DropPath(0.5, name="path")
    model = tf.keras.Model(images, layer(images))
    set_random_seed(model, seed)
    layer.progress.assign(1.0)
    return model(tf.ones((64, 1, 1, 1)), training=True).numpy()


@pytest.mark.parametrize("draw", [initial_weights, order, augmentation, dropout_of_the_training, drop_path])
def test_a_seed_decides(draw, shards):
    first, again, other = (draw(seed, shards) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_masks_of_many_seeds_and_layers_differ():
    masks = set()
    for seed in range(50):
        for name in ("a", "b"):
            layer = Dropout(0.5, name=name)
            layer.random_seed = seed
            masks.add(layer(tf.ones((1, 8, 8, 1)), training=True).numpy().tobytes())
    assert len(masks) == 100


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_one_line(seed):
    with pytest.raises(UserError, match=f"random_seed={seed}: expected 0 to 4294967295"):
        RunConfig(random_seed=seed)


def test_a_training_whose_draws_were_saved_in_int32_is_resumed_exactly(tmp_path):
    whole, first, second = (tiny.step(tiny.config(), dropout=0.5) for _ in range(3))
    batches = [tuple(map(tf.constant, batch)) for batch in tiny.batches(2)]

    def train(step, batches):
        run = tf.function(tf.autograph.experimental.do_not_convert(step))
        for batch in batches:
            run(*batch)

    train(whole, batches)
    train(first, batches[:1])
    saved = tiny.weights(first)
    saved["net/dropout/draws"] = saved["net/dropout/draws"].astype(np.int32)
    bundle.write(bundle.prefix_for(str(tmp_path), 1), saved)
    assert Checkpoints(str(tmp_path), second, keep=1).resume() == 1
    train(second, batches[1:])
    expected, found = tiny.weights(whole), tiny.weights(second)
    assert not [name for name in expected if not np.array_equal(expected[name], found[name])]
