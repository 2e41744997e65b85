"""Names of places for what leaves the machine."""

import os

import pytest

from deeplab.files import places


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/alice/run7/model.ckpt-500", "run7/model.ckpt-500"),
        ("/data/alice/run7/best/model.ckpt-500", "run7/best/model.ckpt-500"),
        ("best/model.ckpt-500", "best/model.ckpt-500"),
        ("./model.ckpt-5", "model.ckpt-5"),
        ("../run/model.ckpt-5", "run/model.ckpt-5"),
        ("gs://bucket/runs/run7/model.ckpt-5", "run7/model.ckpt-5"),
        ("gs://bucket/model.ckpt-5", "bucket/model.ckpt-5"),
        ("/exports/street/3/", "street/3"),
        ("/", ""),
        ("", ""),
        (os.path.expanduser("~/model.ckpt-5"), "model.ckpt-5"),  # the name of the user
        (os.path.expanduser("~/run/model.ckpt-5"), "run/model.ckpt-5"),
    ],
)
def test_a_shortened_path_is_its_last_parts_and_stays_as_it_is(path, expected):
    assert places.shortened(path) == expected
    assert places.shortened(expected) == expected


def test_marked_paths_tell_apart_what_has_one_name():
    marks = {places.marked(path) for path in ("/a/x.jpg", "/b/x.jpg", "gs://a/x.jpg", "/a/y.jpg")}
    assert len(marks) == 4
    assert {mark.rpartition("#")[2] for mark in marks} == {"x.jpg", "y.jpg"}
    assert {places.marked(mark) for mark in marks} == marks
    assert places.marked("/a/run/model.ckpt-5", 2).endswith("#run/model.ckpt-5")


@pytest.mark.parametrize("value", [None, 3, True, "cityscapes", "tfds:coco/2017", '[{"op": "conv/x"}]'])
def test_what_is_no_path(value):
    assert not places.is_path(value)


@pytest.mark.parametrize("value", ["/a", "a/b", "gs://a", "./x"])
def test_what_is_a_path(value):
    assert places.is_path(value)
