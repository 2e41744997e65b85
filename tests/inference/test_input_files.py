"""What --input of predict means: a file, a pattern, or a folder with the folders below it."""

import posixpath

import pytest
import tensorflow as tf

from deeplab.errors import UserError
from deeplab.inference import input_files


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(root, pattern="", output="nowhere"):
    """Returns the files below `root` that are found, the folders of their results, and what is told."""
    result = input_files.find(posixpath.join(str(root), pattern) if pattern else str(root), output)
    return {file.path.removeprefix(f"{root}/"): file.folder for file in result.files}, result.notes


def test_a_folder_is_searched_with_the_folders_below_it(tmp_path):
    touch(
        tmp_path, "b.JPG", "a/c.png", "a/b/film.mp4", "x.png/d.gif", "._b.JPG", ".trash/e.png", "a/notes.txt", "f.heic"
    )
    files, notes = found(tmp_path)
    assert files == {"b.JPG": "", "a/c.png": "a", "a/b/film.mp4": "a/b", "x.png/d.gif": "x.png"}
    assert list(files) == sorted(files)
    assert len(notes) == 1
    assert notes[0].startswith("left out 2 files of other kinds (1 .heic, 1 .txt), for example ")


def test_links_are_followed_and_end(tmp_path):
    touch(tmp_path, "in/z/real.png", "in/z/deep/e.png", "far/away.png")
    for link, target in {
        "in/a_z": "in/z",  # sorts before the folder, which still gives the name
        "in/linked": "far",
        "far/back": "in",  # a circle
        "in/z/deep/up": "in",
        "in/z/everything": "",  # a folder above, which also holds what was not meant
    }.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    files, notes = found(tmp_path / "in")
    assert files == {"z/real.png": "z", "z/deep/e.png": "z/deep", "linked/away.png": "linked"}
    assert [note.partition(",")[0] for note in notes] == ["left out 4 links to folders that are searched anyway"]


def test_results_are_no_inputs(tmp_path):
    touch(tmp_path, "a.png", "out/a.png", "old/predict.json", "old/sub/a.png")
    files, notes = found(tmp_path, output=str(tmp_path / "out"))
    assert files == {"a.png": ""}
    assert notes == [f"left out 1 folder with results of predict, for example {tmp_path}/old"]
    assert found(tmp_path / "old")[0] == {"sub/a.png": "sub"}  # whoever names it means it


def test_a_pattern_is_its_files(tmp_path):
    touch(tmp_path, "one/a.png", "two/b.png", "two/notes.txt")
    assert found(tmp_path, "t*/*o*")[0] == {"two/notes.txt": ""}
    assert found(tmp_path, "one/a.png")[0] == {"one/a.png": ""}
    touch(tmp_path, "twig.png")
    files, notes = found(tmp_path, "tw*")
    assert files == {"twig.png": ""}
    assert notes == [f"left out 1 folder that matches the pattern, for example {tmp_path}/two"]
    with pytest.raises(UserError, match=r"it matches folders, give one of them: --input=.*/one"):
        found(tmp_path, "o*")


def test_a_folder_without_images_says_what_it_has(tmp_path):
    touch(tmp_path, "a/1.heic", "a/2.heic", "README", ".x.png")
    with pytest.raises(UserError, match=r"no image in the folder or below it .*; it has 2 .heic, 1 without extension$"):
        found(tmp_path)


def test_remote_folders():
    for name in ("in/a.png", "in/sub/b.jpg", "in/sub/deep/c.png", "in/note.txt", "in/old/predict.json", "in/old/d.png"):
        path = f"ram://input_files/{name}"
        tf.io.gfile.makedirs(posixpath.dirname(path))
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("x")
    files, notes = found("ram://input_files/in")
    assert files == {"a.png": "", "sub/b.jpg": "sub", "sub/deep/c.png": "sub/deep"}
    assert len(notes) == 2
