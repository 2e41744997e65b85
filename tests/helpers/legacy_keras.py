"""Trains under tf_keras, as TPU projects do, and compares with the goldens: run by test_legacy_keras.py.

Takes the golden case's momentum steps with the network that `TF_USE_LEGACY_KERAS=1` builds; fails where they differ.
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
