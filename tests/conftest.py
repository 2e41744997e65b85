"""Settings and fixtures for all tests, and the option `--quick`.

The environment variables are set before a test imports TensorFlow, which reads them once. Child processes inherit them.
"""

import collections
import os
import pathlib
import signal

import pytest

ROOT = str(pathlib.Path(__file__).parent.parent)
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = str(max(1, (os.cpu_count() or 1) // WORKERS))  # each worker gets its share of the cores
GPU_MEGABYTES = 16384  # of a GPU, if there is one: small enough for most cards
LONG_SECONDS = 5  # a test that takes longer should be marked slow
LEFT_OUT = pytest.StashKey()  # {file: (number of tests left out, number of tests)}

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # goldens are float32 results of a CPU; a GPU rounds otherwise
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", THREADS)
os.environ.setdefault("TF_NUM_INTEROP_THREADS", THREADS)
os.environ.setdefault("OMP_NUM_THREADS", THREADS)
# Scripts that are run by path find the project even where it is not installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out the tests that are marked slow, and list them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """With --quick, leaves out the tests that are marked slow, and counts them by file."""
    if not config.getoption("quick"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    counts = collections.Counter(_file(item) for item in items)
    config.stash[LEFT_OUT] = {
        file: (count, counts[file]) for file, count in sorted(collections.Counter(map(_file, slow)).items())
    }
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def _file(item):
    return item.nodeid.partition("::")[0]


def pytest_sessionfinish(session):
    """A worker of xdist sends its counts to the controller, which prints the summary but collects no tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """The controller of xdist receives the counts. Every worker sends the same, because every worker collects all."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter, config):
    """With --quick, prints what was left out, and which tests should be marked slow. It asserts nothing about times."""
    if not config.getoption("quick"):
        return
    left_out = config.stash.get(LEFT_OUT, {})
    terminalreporter.section("left out by --quick")
    terminalreporter.line(
        f"{sum(count for count, _total in left_out.values())} tests are marked slow, because they take more than "
        f"about {LONG_SECONDS} seconds, alone or with their variants.\nRun all tests with `bash scripts/test.sh`, and "
        "all tests of a file with `bash scripts/test.sh FILE`."
    )
    for file, (count, total) in left_out.items():
        terminalreporter.line(f"  {count:4} of {total:4} in {file}")
    seconds = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid] += report.duration
    long = [(test, time) for test, time in seconds.most_common(10) if time > LONG_SECONDS]
    if long:
        terminalreporter.line(f"The longest tests that ran. Mark one slow if it takes over {LONG_SECONDS} s when idle:")
    for test, time in long:
        terminalreporter.line(f"  {time:6.1f} s  {test}")


def pytest_sessionstart(session):
    """Splits the CPU, or the GPU that the tests shall use, into two logical devices for tests of several replicas.

    Also lets Ctrl-C have its usual effect: where a shell starts the tests in the background, they inherit that it is
    ignored, and so would the trainings that they interrupt.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if getattr(session.config.option, "numprocesses", None):
        return  # the controller of xdist runs no tests, and its workers wait for it
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for gpu in tf.config.list_physical_devices("GPU")[:1]:  # where CUDA_VISIBLE_DEVICES names one
        half = tf.config.LogicalDeviceConfiguration(memory_limit=GPU_MEGABYTES // 2)
        tf.config.set_logical_device_configuration(gpu, [half] * 2)
    tf.config.experimental.enable_tensor_float_32_execution(False)  # numbers are compared with those of a CPU


@pytest.fixture(autouse=True)
def same_folder():
    """A test that leaves its worker in another folder breaks tests that come later, in some orders only."""
    before = os.getcwd()
    yield
    after = os.getcwd()
    os.chdir(before)
    assert after == before, f"the test left its worker in {after}"


@pytest.fixture(scope="module")
def short_mobilenet():
    """Builds mobilenet_v2 with every block once, for tests in which the quality of the network does not matter."""
    yield from _while_shortened(1)


@pytest.fixture(scope="module")
def shortest_mobilenet():
    """Builds mobilenet_v2 with four blocks, for tests in which only commands and files matter."""
    yield from _while_shortened(2)


def _while_shortened(least_stride):
    from helpers.short_networks import shorten_mobilenet

    whole = shorten_mobilenet(least_stride)
    yield
    from deeplab.model import backbones

    backbones.BACKBONES["mobilenet_v2"] = whole


@pytest.fixture(scope="module")
def quick_tracing():
    """Runs graphs without Grappler, whose optimization takes longer than a few runs of a large network."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
