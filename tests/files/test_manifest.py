"""The record of a folder's files: what differs, and whether somebody still writes there."""

import os

import pytest

from deeplab.files import manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "inner" / "b").write_bytes(b"4567")
    return tmp_path


def test_a_folder_is_as_it_was_described(folder):
    files = manifest.describe(str(folder))
    assert list(files) == ["a", "inner/b"]
    assert files["inner/b"]["size"] == 4
    assert manifest.describe(str(folder), leave_out=("a",)) == {"inner/b": files["inner/b"]}
    (folder / "more").touch()
    assert manifest.difference(str(folder), files, hashes=True) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "a").unlink(), "a is missing"),
        (lambda folder: (folder / "inner" / "b").write_bytes(b"45"), "inner/b has 2 bytes in place of 4"),
        (lambda folder: [(folder / "a").unlink(), (folder / "a").mkdir()], "a is missing"),
    ],
)
def test_what_differs_is_told_by_sizes_alone(folder, change, words):
    files = manifest.describe(str(folder))
    change(folder)
    assert manifest.difference(str(folder), files) == words


def test_other_bytes_of_the_same_number_are_found_by_the_hash(folder):
    files = manifest.describe(str(folder))
    (folder / "a").write_bytes(b"\0\0\0")  # as programs that copy leave them that reserve the space first
    assert manifest.difference(str(folder), files) == ""
    assert "a has other contents" in manifest.difference(str(folder), files, hashes=True)


@pytest.mark.parametrize(
    "files",
    [
        [],
        {"a": 3},
        {"a": {"size": 3}},
        {"a": {"size": "x", "sha256": ""}},
        {"/etc/passwd": {"size": 3, "sha256": ""}},
        {"../a": {"size": 3, "sha256": ""}},
    ],
)
def test_a_damaged_record_is_a_difference(folder, files):
    assert "record of its files" in manifest.difference(str(folder), files, hashes=True)


def test_a_stamp_changes_with_every_file(folder):
    stamps = {manifest.stamp(str(folder))}
    (folder / "a").write_bytes(b"124")
    os.utime(folder / "a", ns=(1, 1))
    stamps.add(manifest.stamp(str(folder)))
    (folder / "c").touch()
    stamps.add(manifest.stamp(str(folder)))
    (folder / "inner" / "b").unlink()
    stamps.add(manifest.stamp(str(folder)))
    assert len(stamps) == 4


def test_a_folder_is_quiet_once_nothing_changes(folder, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(manifest.time, "monotonic", lambda: now[0])
    quiet = manifest.Quiet()
    assert not quiet.is_quiet(str(folder))  # it was made just now
    now[0] = 1.5
    (folder / "a").write_bytes(b"12345")
    assert not quiet.is_quiet(str(folder))
    now[0] = 3.0
    assert not quiet.is_quiet(str(folder))
    now[0] = 3.6
    assert quiet.is_quiet(str(folder))  # by what was seen, even if the clock of the files were wrong
    assert not manifest.Quiet().is_quiet(str(folder))
    monkeypatch.setattr(manifest.time, "time", lambda: os.stat(folder).st_ctime + 60)
    assert manifest.Quiet().is_quiet(str(folder))  # by the times of the files


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ([], ""),
        (["v.index", "v.data-00000-of-00001"], ""),
        (["v.index"], "v.data-00000-of-00001"),
        (["v.data-00000-of-00001"], "v.index"),
        (["v.index", "v.data-00001-of-00002"], "v.data-00000-of-00002"),
    ],
)
def test_parts_of_a_checkpoint_belong_together(tmp_path, names, lacking):
    for name in names:
        (tmp_path / name).touch()
    assert manifest.lacking_part(str(tmp_path)) == lacking
