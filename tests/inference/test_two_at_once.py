"""Two images at a time: the order of the results, what waits for what, errors."""

import threading

import pytest

from deeplab.inference import two_at_once
from deeplab.layers import hardware

WAIT = 60  # seconds after which a test that hangs fails


@pytest.mark.parametrize("accelerated", [False, True])
def test_results_come_in_order(monkeypatch, accelerated):
    monkeypatch.setattr(hardware, "is_accelerated", lambda: accelerated)
    assert list(two_at_once.results(lambda item: 2 * item, range(20))) == list(range(0, 40, 2))
    assert list(two_at_once.results(lambda item: item, [])) == []


def test_two_items_are_computed_at_a_time():
    meeting = threading.Barrier(2)
    assert list(two_at_once.results(lambda item: (meeting.wait(WAIT) and item) or item, range(6))) == list(range(6))


def test_large_images_are_computed_alone():
    inside, most, lock = set(), [], threading.Lock()

    def compute(item):
        with lock:
            inside.add(item)
            most.append(len(inside))
        with lock:
            inside.discard(item)

    list(two_at_once.results(compute, range(30), pixels=lambda item: two_at_once.PIXELS))
    assert max(most) == 1


def test_items_are_only_taken_when_there_is_room():
    taken = []
    found = two_at_once.results(lambda item: item, (taken.append(item) or item for item in range(100)))
    assert next(found) == 0
    assert len(taken) <= two_at_once.networks() + 2
    found.close()


def test_an_error_is_raised_in_its_turn():
    found = two_at_once.results(lambda item: 6 // (3 - item), range(10))
    assert [next(found), next(found), next(found)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(found)
