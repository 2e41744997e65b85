"""A program that trains under tf_keras, as on a TPU, and compares the result with a golden case.

tests/training/test_legacy_keras.py runs it in a process of its own, because `TF_USE_LEGACY_KERAS=1` has to be set
before TensorFlow is imported. It takes the momentum steps of the golden case and fails if the weights differ.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
import test_training_goldens as goldens


def main():
    assert not hasattr(tf.keras, "ops")  # tf_keras
    case = goldens.golden_cases.load("mobilenet_v2_os16")
    subject = goldens.Subject(*case, "bn_frozen")
    goldens.test_losses(subject)
    goldens.test_momentum_steps(subject)
    print("equal to the goldens")


if __name__ == "__main__":
    main()
