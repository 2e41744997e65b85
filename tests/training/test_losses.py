"""Losses and their gradients, compared with those of the original (tests/golden/pipeline/loss), and properties."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.config.optimization import LossConfig
from deeplab.config.training import RunConfig
from deeplab.data.catalog import Dataset
from deeplab.errors import UserError
from deeplab.training import losses
from helpers.places import GOLDEN_PIPELINE

GOLDEN = GOLDEN_PIPELINE / "loss"
PARAMETERS = json.loads(GOLDEN.with_suffix(".json").read_text())
ARRAYS = dict(np.load(GOLDEN.with_suffix(".npz")))


@pytest.mark.parametrize("variant", sorted(PARAMETERS["variants"]))
def test_loss_and_gradient_equal_the_originals(variant):
    options = dict(PARAMETERS["variants"][variant])
    weights = options.pop("loss_weight", None)
    ignore_label = PARAMETERS["ignore_label"]
    objective = losses.Objective(LossConfig(**options), ignore_label, weights)
    labels = np.full_like(ARRAYS["labels"], ignore_label) if "all_ignored" in variant else ARRAYS["labels"]
    logits = tf.constant(ARRAYS["logits"])
    outputs = {"logits": logits}
    if variant == "two_scales":
        outputs["logits_2"] = tf.constant(ARRAYS["logits_2"])
    step = tf.constant(1000 if "step1000" in variant else 300, tf.int64)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = objective(outputs, tf.constant(labels), step)
        total = tf.add_n(list(found.values()))
    np.testing.assert_allclose(sorted(found.values()), sorted(ARRAYS[f"loss_{variant}"]), rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(tape.gradient(total, logits), ARRAYS[f"grad_{variant}"], rtol=1e-4, atol=1e-8)


def objective(**options):
    return losses.Objective(LossConfig(**options), 255)


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": 0.1},
        {"loss": "focal"},
        {"region_loss": "dice"},
        {"region_loss": "lovasz"},
        {"top_k_percent_pixels": 0.3, "hard_example_mining_step": 10},
    ],
    ids=str,
)
def test_two_replicas_have_the_loss_and_gradient_of_one(options):
    strategy = devices.training_strategy(RunConfig(distribution_strategy="mirrored"))
    assert strategy.num_replicas_in_sync == 2
    loss = objective(**options)
    logits, labels = ARRAYS["logits"], ARRAYS["labels"]

    def share(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss({"": logits}, labels, tf.constant(4, tf.int64))[""]
        return value, tape.gradient(value, logits)

    @tf.function
    def on_two():
        def part(array):
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(array[context.replica_id_in_sync_group][None])
            )

        return strategy.run(share, (part(logits), part(labels)))

    whole, gradient = share(tf.constant(logits), tf.constant(labels))
    shares, gradients = on_two()
    np.testing.assert_allclose(sum(strategy.experimental_local_results(shares)), whole, rtol=1e-5)
    np.testing.assert_allclose(
        np.concatenate(strategy.experimental_local_results(gradients)), gradient, rtol=1e-3, atol=1e-7
    )


def test_focal_without_gamma_is_cross_entropy():
    plain, focal = (
        objective(**options)({"": tf.constant(ARRAYS["logits"])}, tf.constant(ARRAYS["labels"]), 0)[""]
        for options in ({}, {"loss": "focal", "focal_gamma": 0.0})
    )
    np.testing.assert_allclose(plain, focal, rtol=1e-6)


SOFT = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.7, 0.2], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4]])
TRUTH = np.array([0, 1, 0, 1, 255])


def shown(**options):
    """The loss of SOFT and TRUTH, as an image of 5 pixels."""
    logits = tf.constant(np.log(SOFT)[None, None], tf.float32)
    return objective(**options)({"": logits}, tf.constant(TRUTH[None, None]), 0)[""].numpy()


def of_truth(values):
    return values[np.arange(4), TRUTH[:4]]


def test_losses_of_pixels_are_those_of_their_formulas():
    plain, sure = -np.log(of_truth(SOFT)), of_truth(SOFT)
    assert shown() == pytest.approx(plain.mean(), rel=1e-5)
    assert shown(loss="focal", focal_gamma=3.0) == pytest.approx((plain * (1 - sure) ** 3).mean(), rel=1e-5)
    smooth = 0.7 * plain + 0.3 * -np.log(SOFT[:4]).mean(-1)
    assert shown(label_smoothing=0.3) == pytest.approx(smooth.mean(), rel=1e-5)
    assert shown(top_k_percent_pixels=0.4) == pytest.approx(np.sort(plain)[-2:].mean(), rel=1e-5)


def test_labels_outside_the_classes_cost_nothing_and_the_last_class_is_one():
    logits = tf.constant(np.log(SOFT), tf.float32)
    labels = tf.constant([0, 3, -1, 254, 2])
    found = losses.cross_entropy(logits, labels, LossConfig())
    np.testing.assert_allclose(found, [-np.log(0.6), 0, 0, 0, -np.log(0.4)], rtol=1e-5)
    found = losses.focal(logits, tf.constant([0, 1, 2, 2, 2]), LossConfig(focal_gamma=1.0))
    sure = SOFT[np.arange(5), [0, 1, 2, 2, 2]]
    np.testing.assert_allclose(found, -np.log(sure) * (1 - sure), rtol=1e-5)


def test_the_share_of_hard_pixels_falls_and_stays():
    shares = [float(losses.mined_share(0.2, 100, step)) for step in (0, 50, 100, 300)]
    assert shares == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert losses.mined_share(0.2, 0, 7) == 0.2


def dice_of(truth, guess):
    return 1 - 2 * (truth * guess).sum() / (truth.sum() + guess.sum())


def lovasz_of(truth, guess):
    """The Lovasz extension of the Jaccard loss, by its definition: errors in falling order, each times what it adds."""
    errors = abs(truth - guess)
    order = np.argsort(-errors)
    jaccard = [0.0]
    for i in range(1, len(order) + 1):
        wrong = np.zeros(len(order), bool)
        wrong[order[:i]] = True
        jaccard.append(wrong.sum() / (wrong | (truth > 0)).sum())
    return (errors[order] * np.diff(jaccard)).sum()


@pytest.mark.parametrize(("name", "of"), [("dice", dice_of), ("lovasz", lovasz_of)])
def test_losses_of_regions_are_those_of_their_formulas(name, of):
    expected = np.mean([of((TRUTH[:4] == k) * 1.0, SOFT[:4, k]) for k in (0, 1)])  # class 2 does not occur
    assert shown(region_loss=name, region_loss_weight=0.5) == pytest.approx(shown() + 0.5 * expected, rel=1e-5)


@pytest.mark.parametrize(("name", "of"), [("dice", dice_of), ("lovasz", lovasz_of)])
def test_one_pixel_makes_a_region(name, of):
    truth = np.eye(3)[[0, 0, 1, 0]]
    found = losses.REGION_LOSSES[name](
        tf.constant(SOFT[:4], tf.float32), tf.constant([0, 0, 1, 0]), tf.ones(4, tf.float32)
    )
    expected = np.mean([of(truth[:, k], SOFT[:4, k]) for k in (0, 1)])
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_region_loss_is_0_for_truth_and_1_for_its_opposite(name):
    labels = tf.constant([0, 0, 1, 1, 255])
    valid = tf.constant([1.0, 1.0, 1.0, 1.0, 0.0])
    right = tf.one_hot([0, 0, 1, 1, 0], 3)
    wrong = tf.one_hot([1, 1, 0, 0, 0], 3)
    assert losses.REGION_LOSSES[name](right, labels, valid).numpy() == pytest.approx(0)
    assert losses.REGION_LOSSES[name](wrong, labels, valid).numpy() == pytest.approx(1)


COUNTED = Dataset(
    name="four",
    num_classes=4,
    splits={"train": 9, "fold1": 9, "fold2": 9},
    class_histogram={"fold1": (100, 100, 10, 0), "fold2": (300, 20, 30, 0)},
    class_image_pixels={"fold1": (200, 200, 100, 0), "fold2": (400, 400, 100, 0)},
)


def test_class_weights_balance_by_the_images_that_hold_the_class(capsys):
    balanced = losses.class_weights("auto", COUNTED, ("fold1",))  # frequencies 1/2, 1/2, 1/10
    assert balanced == pytest.approx((1, 1, 5, 0))
    assert losses.class_weights("sqrt", COUNTED, ("fold1",)) == pytest.approx((1, 1, np.sqrt(5), 0))
    balanced = losses.class_weights("auto", COUNTED, ("fold1", "fold2"))  # 400/600, 120/600, 40/200
    assert balanced == pytest.approx((0.3, 1, 1, 0))
    ignoring = dataclasses.replace(COUNTED, ignore_label=0)
    assert losses.class_weights("auto", ignoring, ("fold1",)) == pytest.approx((0, 0.6, 3, 0))
    assert capsys.readouterr().out == ""


def test_class_weights_of_an_old_dataset_json_follow_its_one_histogram(capsys):
    old = Dataset("five", 5, splits={"val": 1, "train": 1}, class_histogram=(800, 400, 100, 1, 0))
    assert old.class_histogram == {"train": (800, 400, 100, 1, 0)}
    assert losses.class_weights("auto", old) == pytest.approx((250 / 800, 250 / 400, 2.5, 10, 0))
    assert "frequencies are shares of all pixels" in capsys.readouterr().out
    few = dataclasses.replace(old, class_histogram=(1, 1, 3, 1, 0))
    assert losses.class_weights("auto", few, ("val",)) == pytest.approx((1, 1, 1 / 3, 1, 0))
    assert "counts the pixels of train, which stand for val" in capsys.readouterr().out
    with pytest.raises(UserError, match="has no class_histogram"):
        losses.class_weights("auto", Dataset("five", 5))


def test_class_weights_come_from_a_file(tmp_path):
    dataset = Dataset(name="two", num_classes=2, ignore_label=255, splits={})
    (tmp_path / "weights.txt").write_text("0.5, 2\n")
    assert losses.class_weights(str(tmp_path / "weights.txt"), dataset) == (0.5, 2.0)
    with pytest.raises(UserError, match=r"weights.txt: 2 weights, expected 5"):
        losses.class_weights(str(tmp_path / "weights.txt"), dataclasses.replace(dataset, num_classes=5))
