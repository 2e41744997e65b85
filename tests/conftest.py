"""Settings for all tests, made before any of them imports TensorFlow. Child processes inherit them."""

import os
import pathlib

import pytest

ROOT = str(pathlib.Path(__file__).parent.parent)
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = str(max(1, (os.cpu_count() or 1) // WORKERS))  # the workers share the cores instead of fighting for them

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # goldens are float32 results of a CPU; a GPU rounds otherwise
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", THREADS)
os.environ.setdefault("TF_NUM_INTEROP_THREADS", THREADS)
os.environ.setdefault("OMP_NUM_THREADS", THREADS)
# Scripts that are run by path find the project even where it is not installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))


def pytest_sessionstart(session):
    """Splits the CPU into two logical devices, so that tests of several replicas can run on any machine."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="module")
def short_mobilenet():
    """Builds mobilenet_v2 with every block once: quick where the network is no matter."""
    yield from _while_shortened(1)


@pytest.fixture(scope="module")
def shortest_mobilenet():
    """Builds mobilenet_v2 with four blocks: where only commands and files matter."""
    yield from _while_shortened(2)


def _while_shortened(least_stride):
    from helpers.short_networks import shorten_mobilenet

    whole = shorten_mobilenet(least_stride)
    yield
    from deeplab.model import backbones

    backbones.BACKBONES["mobilenet_v2"] = whole


@pytest.fixture(scope="module")
def quick_tracing():
    """Runs graphs as they are traced, without the optimizer that takes longer than a few runs of a large network."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
