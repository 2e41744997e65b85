"""Reading, segmenting and writing side by side: what overlaps, what is bounded, what an error ends."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from deeplab import UserError
from deeplab.inference import batch_size, side_by_side
from deeplab.inference.side_by_side import Limits, Stages
from deeplab.layers import hardware

LIMITS = Limits(threads=2, images=8, pixels=10**6, window=12, early_pixels=10**6)
ALONE = Limits(threads=1, images=4, pixels=10**6, window=1, early_pixels=0)
WAIT = 60  # seconds after which a test that hangs fails


def problem(item, error):
    return f"{item}: {error}" if isinstance(error, (UserError, tf.errors.ResourceExhaustedError)) else None


class Device:
    """Stages for numbers: the result of a number is its double. Notes what happens, with what is in memory."""

    def __init__(self, most=4, sizes=lambda item: (4, 6), fail=None):
        self.most, self.size, self.fail = most, sizes, fail or {}
        self.batches, self.written, self.inside, self.peak = [], [], {}, (0, 0)
        self.lock = threading.Lock()

    def stages(self, **changes):
        stages = Stages(
            measure=self.size,
            read=self.read,
            key=lambda height, width: (height, width),
            batch_size=lambda height, width: self.most,
            start=self.start,
            write=self.write,
            problem=problem,
        )
        return stages._replace(**changes)

    def raise_for(self, stage, item):
        if (stage, item) in self.fail:
            raise self.fail[stage, item]

    def read(self, item):
        self.raise_for("read", item)
        with self.lock:
            self.inside[item] = int(np.prod(self.size(item) or (0,)))
            self.peak = max(self.peak[0], len(self.inside)), max(self.peak[1], sum(self.inside.values()))
        return item

    def start(self, items):
        self.batches.append(list(items))
        for item in items:
            self.raise_for("start", item)
        return lambda: [2 * item for item in items]

    def write(self, item, picture, result):
        assert picture == item
        self.raise_for("write", item)
        with self.lock:
            self.written.append(item)
            del self.inside[item]
        return result


def outcomes(device, items, limits=LIMITS, **changes):
    with side_by_side.run(items, device.stages(**changes), limits) as found:
        return list(found)


@pytest.mark.parametrize(("limits", "most"), [(LIMITS, 4), (LIMITS, 1), (ALONE, 1), (ALONE._replace(window=9), 3)])
def test_every_item_has_its_outcome_in_order(limits, most):
    device = Device(most, sizes=lambda item: (4 + item % 3, 6))
    assert [(one.item, one.value, one.problem) for one in outcomes(device, range(50), limits)] == [
        (item, 2 * item, None) for item in range(50)
    ]
    assert sorted(device.written) == list(range(50))


def test_images_of_one_key_share_batches_and_the_rest_comes_in_powers_of_two():
    device = Device(4, sizes=lambda item: (4 + item % 2, 6))
    outcomes(device, range(14), LIMITS._replace(window=14))
    assert device.batches == [[0, 2, 4, 6], [8, 10], [12], [1, 3, 5, 7], [9, 11], [13]]
    device = Device(1)
    outcomes(device, range(5), ALONE)
    assert device.batches == [[0], [1], [2], [3], [4]]


def test_reading_segmenting_and_writing_happen_at_the_same_time():
    """Each stage waits until the two others are busy with other images, which never happens one after the other."""
    meeting = threading.Barrier(3)

    def meet(item, at):
        if item == at:
            meeting.wait(WAIT)

    device = Device(1)

    def read(item):
        meet(item, 7)
        return device.read(item)

    def start(items):
        meet(items[0], 6)
        return device.start(items)

    def write(item, picture, result):
        meet(item, 5)
        return device.write(item, picture, result)

    assert len(outcomes(device, range(12), ALONE, read=read, start=start, write=write)) == 12


def test_a_batch_is_started_before_the_results_of_the_last_are_fetched():
    events = []

    def start(items):
        events.append(("start", *items))
        return lambda: events.append(("fetch", *items)) or [0] * len(items)

    outcomes(Device(1), range(3), LIMITS, start=start)
    assert events == [("start", 0), ("start", 1), ("fetch", 0), ("start", 2), ("fetch", 1), ("fetch", 2)]
    events.clear()
    outcomes(Device(1), range(2), ALONE, start=start)
    assert events == [("start", 0), ("fetch", 0), ("start", 1), ("fetch", 1)]


def test_two_small_images_are_segmented_at_a_time_and_large_ones_are_not():
    meeting, events = threading.Barrier(2), []

    def start(items):
        return lambda: ((meeting.wait(WAIT) if items[0] < 4 else events.append(items[0])) and None) or [0] * len(items)

    limits = ALONE._replace(early_pixels=48, segmenting=2)
    device = Device(1, sizes=lambda item: (4, 6) if item < 4 else (5, 6))
    assert [one.item for one in outcomes(device, range(8), limits, start=start)] == list(range(8))
    assert events == [4, 5, 6, 7]


def test_what_is_in_memory_is_bounded():
    """Writing is held up until nothing else can happen, so that everything that may be in memory is."""
    for limits, sizes, images in (
        (LIMITS, lambda item: (1, 1), 8),
        (LIMITS._replace(pixels=100), lambda item: (5, 6), 3),
        (LIMITS._replace(pixels=100), lambda item: (50, 60), 1),  # more than the limit: nothing else beside it
    ):
        device = Device(1, sizes)
        outcomes(device, range(40), limits)
        assert device.peak[0] <= images
        assert device.peak[1] <= max(limits.pixels, sizes(0)[0] * sizes(0)[1])


def test_an_error_of_one_item_concerns_this_item_only():
    fail = {
        ("read", 3): UserError("damaged"),
        ("start", 5): UserError("too small"),
        ("write", 9): UserError("no such folder"),
        ("read", 11): UserError("no image"),
    }
    device = Device(4, sizes=lambda item: None if item == 11 else (4, 6), fail=fail)
    found = outcomes(device, range(16))
    assert {one.item: one.problem for one in found if one.problem} == {
        3: "3: damaged",
        5: "5: too small",
        9: "9: no such folder",
        11: "11: no image",
    }
    assert [one.value for one in found if not one.problem] == [2 * i for i in range(16) if i not in (3, 5, 9, 11)]


def test_batches_that_are_too_large_for_the_memory_are_told_once(capsys):
    def start(items):
        if len(items) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[4,9]")
        return device.start(items)

    device = Device(4)
    found = outcomes(device, range(30), LIMITS._replace(window=4), start=start)
    assert [one.value for one in found] == [2 * i for i in range(30)]
    assert capsys.readouterr().err.count("4 images at once need more memory than there is") == 1


@pytest.mark.parametrize("stage", ["read", "start", "write"])
def test_other_errors_end_everything_and_nothing_is_written_after_them(stage):
    device = Device(1, fail={(stage, 4): OSError("disk full")})
    with pytest.raises(OSError, match="disk full"):
        outcomes(device, range(100), ALONE)
    assert device.written == list(range(len(device.written)))
    assert len(device.written) <= 4


def test_leaving_the_block_completes_what_is_being_written():
    begun, go_on = threading.Event(), threading.Event()

    def write(item, picture, result):
        begun.set()
        assert go_on.wait(WAIT)
        return device.write(item, picture, result)

    device = Device(1)
    with side_by_side.run(range(100), device.stages(write=write), ALONE) as found:
        threading.Thread(target=lambda: begun.wait(WAIT) and go_on.set()).start()
        next(found)
    written = list(device.written)
    assert written[0] == 0
    assert len(written) <= ALONE.images


@pytest.mark.parametrize(
    ("accelerated", "given", "size", "expected"),
    [
        (False, None, (513, 513), 1),
        (False, 4, (513, 513), 4),
        (True, None, (513, 513), 8),
        (True, None, (257, 257), 16),
        (True, None, (1025, 2049), 1),
        (True, 2, (257, 257), 2),
    ],
)
def test_the_number_of_images_at_once(monkeypatch, accelerated, given, size, expected):
    monkeypatch.setattr(hardware, "is_accelerated", lambda: accelerated)
    assert batch_size.images_at_once(given, *size) == expected
    assert bool(batch_size.note(given, "batch_size")) == (accelerated and given is None)
    limits = side_by_side.limits(batch_size.largest(given))
    assert (limits.segmenting == 0) == accelerated
    assert 0 < limits.early_pixels <= limits.pixels
