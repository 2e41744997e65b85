"""The confusion matrix and the scores against the original's, and on masks whose answers are known."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.evaluation.metrics import ConfusionMatrix, Scores, confusion_matrix
from helpers import pipeline_goldens
from helpers.tiny_training import two_replicas

CASES, ARRAYS = pipeline_goldens.load("miou")


@pytest.mark.parametrize("case", CASES)
def test_scores_are_the_originals(case):
    matrix = ConfusionMatrix(CASES[case]["num_classes"], CASES[case]["ignore_label"])
    update = tf.function(matrix.update)
    for labels, predictions in zip(ARRAYS[f"labels_{case}"], ARRAYS[f"predictions_{case}"], strict=True):
        update(labels, predictions)
    scores = Scores.from_confusion(matrix.result())
    np.testing.assert_array_equal(scores.confusion, ARRAYS[f"confusion_{case}"])
    assert scores.mean_iou == pytest.approx(float(ARRAYS[f"miou_{case}"]), abs=1e-6)
    np.testing.assert_allclose(scores.class_iou, ARRAYS[f"class_iou_{case}"], atol=1e-6)


def test_a_class_that_was_only_predicted_counts_zero_and_an_absent_one_does_not_count():
    confusion = np.zeros((4, 4), np.int64)
    confusion[0, 0], confusion[0, 2], confusion[1, 1] = 3, 1, 4
    scores = Scores.from_confusion(confusion)
    assert scores.mean_iou == pytest.approx((3 / 4 + 1 + 0) / 3)
    np.testing.assert_allclose(scores.class_iou, [3 / 4, 1, np.nan, np.nan])
    assert scores.pixel_accuracy == pytest.approx(7 / 8)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert scores.frequency_weighted_iou == pytest.approx((4 * 3 / 4 + 4 * 1) / 8)


def test_precision_recall_and_f1_are_those_of_their_definitions():
    """Class 2 is never predicted, 3 only predicted, 4 nowhere. Classes without labels have no score, as with IoU."""
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 3, (2, 500))
    predictions[predictions == 2] = 3
    scores = Scores.from_confusion(confusion_matrix(labels, predictions, 5, 255))
    for k in range(3):
        hits = np.sum((labels == k) & (predictions == k))
        precision, recall = hits / max(1, np.sum(predictions == k)), hits / np.sum(labels == k)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0
        assert (scores.class_precision[k], scores.class_accuracy[k]) == pytest.approx((precision, recall))
        assert (
            scores.class_f1[k]
            == pytest.approx(f1)
            == pytest.approx(2 * scores.class_iou[k] / (1 + scores.class_iou[k]))
        )
    assert np.isnan([scores.class_precision[3:], scores.class_f1[3:], scores.class_iou[3:]]).all()
    assert scores.mean_f1 == pytest.approx(sum(scores.class_f1[:3]) / 4)  # with a 0 for class 3, as mean_iou


def test_ignored_pixels_enter_no_cell_even_of_one_class():
    np.testing.assert_array_equal(confusion_matrix([0, 255, 0], [0, 0, 0], num_classes=1, ignore_label=255), [[2]])


def test_counts_are_not_trained():
    assert not ConfusionMatrix(3, 255).trainable_variables


def test_one_pixel_makes_a_class():
    scores = Scores.from_confusion(np.array([[0, 1], [0, 1]]))
    np.testing.assert_array_equal(scores.class_iou, [0, 0.5])
    assert (scores.mean_iou, scores.mean_accuracy, scores.frequency_weighted_iou) == (0.25, 0.5, 0.25)


def test_without_a_pixel_there_is_no_score():
    with np.errstate(all="raise"):  # and no warning
        scores = Scores.from_confusion(np.zeros((2, 2), np.int64))
    assert np.isnan([scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou, scores.mean_f1]).all()
    assert np.isnan([scores.class_iou, scores.class_precision, scores.class_accuracy, scores.class_f1]).all()


def test_counts_are_exact_where_float32_is_not():
    matrix = ConfusionMatrix(2, 255)
    matrix.counts.assign([[2**24 + 1, 0], [0, 0]])
    matrix.update(tf.zeros((1, 3), tf.uint8), tf.zeros((1, 3), tf.int32))
    assert matrix.result()[0, 0] == 2**24 + 4


def test_replicas_count_together():
    strategy = two_replicas()
    with strategy.scope():
        matrix = ConfusionMatrix(2, 255)

    def count():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        matrix.update(tf.fill((2, 2), replica), tf.zeros((2, 2), tf.int32))

    tf.function(lambda: strategy.run(count))()
    np.testing.assert_array_equal(matrix.result(), [[4, 0], [4, 0]])


def test_ignored_pixels_may_hold_any_value():
    counts = confusion_matrix(np.array([255, 1, 0]), np.array([1, 1, 1]), num_classes=2, ignore_label=255)
    np.testing.assert_array_equal(counts, [[0, 1], [0, 1]])
