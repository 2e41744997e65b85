"""--dry_run of the builders: they read and check everything, and write nothing."""

import os

import pytest

from deeplab import UserError
from deeplab.config.builders import BuildConfig
from deeplab.data import catalog
from deeplab.data.building import builder
from deeplab.data.building.label_rules import LabelRules
from helpers import fake_data

DATASET = catalog.Dataset("fake", 3)


def build(pairs, folder, **options):
    builder.build(
        {"train": pairs}, DATASET, LabelRules(3), BuildConfig(output_dir=str(folder), num_workers=1, **options)
    )


def tree(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_dry_run_says_what_a_build_would_write(tmp_path, capsys):
    pairs = fake_data.folders(tmp_path, 5)
    before = tree(tmp_path)
    build(pairs, tmp_path / "out", dry_run=True)
    said = capsys.readouterr().out
    assert tree(tmp_path) == before
    assert "train: found 5, paired 5; 5 would be written in " in said
    assert said.endswith("Nothing was written; the same command without --dry_run builds\n")
    build(pairs, tmp_path / "out")
    size = sum(path.stat().st_size - 16 * 5 for path in (tmp_path / "out").glob("train-*")) + 16 * 5 * 3
    told = float(said.partition("written in ")[2].split()[0])
    assert told * 1024 == pytest.approx(size, rel=0.05)


def test_a_dry_run_tells_what_a_build_finds(tmp_path, capsys):
    pairs = fake_data.folders(tmp_path, 2, num_classes=2)
    said = []
    for dry_run in (True, False):
        builder.build(
            {"train": pairs, "val": pairs[:1]}, DATASET, LabelRules(3),
            BuildConfig(output_dir=str(tmp_path / "out"), num_workers=1, dry_run=dry_run),
        )  # fmt: skip
        said.append(capsys.readouterr().out)
    for line in ("train: 1 of 3 classes do not occur: class 2", "val: 1 of 1 look almost as one of train"):
        assert all(line in text for text in said)


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"append": True}])
def test_what_is_there_stays_and_is_refused_as_in_a_build(tmp_path, options, capsys):
    pairs = fake_data.folders(tmp_path / "a", 3)
    build(pairs[:2], tmp_path / "out")
    before = tree(tmp_path)
    more = pairs[2:]
    if options:
        build(more, tmp_path / "out", dry_run=True, **options)
        assert "1 would be written" in capsys.readouterr().out
    else:
        messages = []
        for dry_run in (True, False):
            with pytest.raises(UserError) as refused:
                build(more, tmp_path / "out", dry_run=dry_run)
            messages.append(str(refused.value))
        assert messages[0] == messages[1]
    assert tree(tmp_path) == before


def test_missing_files_are_the_errors_of_a_build_or_counted(tmp_path, capsys):
    pairs = fake_data.folders(tmp_path / "a", 4)
    pairs[1] = pairs[1]._replace(label=None)
    pairs[2] = pairs[2]._replace(image=None)
    messages = []
    for dry_run in (True, False):
        with pytest.raises(UserError) as refused:
            build(pairs, tmp_path / "out", dry_run=dry_run)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    build(pairs, tmp_path / "new", dry_run=True, skip_bad=True)
    assert "found 4, paired 2, 1 without label, 1 without image; 2 would be written" in capsys.readouterr().out
    assert not os.path.exists(tmp_path / "new")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output_dir=.*file/out: .*file is a file, not a folder"):
        build(fake_data.folders(tmp_path, 2), tmp_path / "file" / "out", dry_run=True)
