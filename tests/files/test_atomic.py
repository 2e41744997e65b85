"""Files and folders get their names when they are complete, and after an error everything is as it was before."""

import pytest
import tensorflow as tf

from deeplab.files import atomic


class Stopped(BaseException):
    """Ends a write as Ctrl-C or SystemExit does."""


def contents(folder):
    """Returns {path below `folder`: text} of all files."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("root", ["", "ram://atomic/"])
def test_unfinished_files_lie_beside_their_place(root):
    assert atomic.aside(f"{root}folder/file.txt") == f"{root}folder/unfinished-file.txt"
    assert atomic.aside("file.txt") == "unfinished-file.txt"
    assert atomic.aside("/file.txt") == "/unfinished-file.txt"


@pytest.mark.parametrize("content", ["text", b"bytes"])
def test_a_file_is_replaced(tmp_path, content):
    (tmp_path / "file").write_text("before")
    (tmp_path / "unfinished-file").write_text("a longer text that a killed process left here")
    atomic.write(str(tmp_path / "file"), content)
    assert contents(tmp_path) == {"file": content if isinstance(content, str) else content.decode()}


@pytest.mark.parametrize("before", [{}, {"file": "before"}])
@pytest.mark.parametrize("written", [True, False])
def test_an_error_leaves_the_file_as_it_was(tmp_path, before, written):
    for name, text in before.items():
        (tmp_path / name).write_text(text)

    def write():
        with atomic.replacing(str(tmp_path / "file")) as unfinished:
            if written:
                tf.io.gfile.copy(__file__, unfinished)
            assert contents(tmp_path).keys() == before.keys() | ({"unfinished-file"} if written else set())
            raise Stopped

    with pytest.raises(Stopped):
        write()
    assert contents(tmp_path) == before


def test_a_folder_appears_when_it_is_filled(tmp_path):
    left_over = tmp_path / "unfinished-new" / "half"
    left_over.mkdir(parents=True)
    (left_over / "file").write_text("of a killed process")
    with atomic.new_folder(f"{tmp_path}/new/") as unfinished:
        assert not contents(tmp_path)
        tf.io.gfile.makedirs(unfinished)
        atomic.write(f"{unfinished}/file", "whole")
        assert not (tmp_path / "new").exists()
    assert contents(tmp_path) == {"new/file": "whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("written", [True, False])
def test_an_error_leaves_no_folder(tmp_path, written):
    def fill():
        with atomic.new_folder(str(tmp_path / "new")) as unfinished:
            if written:
                tf.io.gfile.makedirs(unfinished)
                atomic.write(f"{unfinished}/file", "half of it")
            raise Stopped

    with pytest.raises(Stopped):
        fill()
    assert not list(tmp_path.iterdir())


def test_the_first_error_is_the_one_that_is_told(tmp_path, monkeypatch):
    """The place may be gone altogether, so that nothing can be removed either."""
    gone = tf.errors.UnavailableError(None, None, "no connection")

    def unreachable(_path):
        raise gone

    monkeypatch.setattr(tf.io.gfile, "exists", unreachable)
    with pytest.raises(Stopped), atomic.replacing(str(tmp_path / "file")):
        raise Stopped
