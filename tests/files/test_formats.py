"""Files that are written and read again: a newer format and an unknown field are refused in the same words."""

import json

import pytest

from deeplab import UserError
from deeplab.benchmarks import timing
from deeplab.config.model import ModelConfig
from deeplab.config.training import TrainConfig
from deeplab.data import catalog
from deeplab.evaluation import report
from deeplab.files import formats
from deeplab.inference import export_folder, output_folder, trained
from deeplab.programs import shard_record
from deeplab.training import best, run_folder
from helpers.cards import CARD

KIND = formats.Kind("a shelf", "build one", ("books",), ("colour",))
CONTENTS = {  # name of a file: (its content, a function that reads it from a folder)
    run_folder.CONFIG_FILE: ({"model": {}, "training": {}}, lambda folder: run_folder.read_config(folder)),
    catalog.FILE: ({"name": "own", "num_classes": 2}, catalog.load),
    export_folder.CARD_FILE: (CARD, export_folder.read_card),
    best.SCORE_FILE: ({"mean_iou": 0.5, "step": 7}, best.read_score),
    output_folder.FILE: ({"settings": {}, "files": {}}, output_folder._read),
    shard_record.FILE: ({"splits": {}}, lambda folder: shard_record._read(f"{folder}/{shard_record.FILE}")),
    "rows.json": ({"machine": {}, "rows": []}, lambda folder: timing.load(f"{folder}/rows.json")),
}

NEWEST = {output_folder.FILE: 2}  # the number of the newest format, where it is not 1


@pytest.mark.parametrize("name", CONTENTS)
def test_every_file_that_is_read_again_keeps_to_its_format(name, tmp_path):
    content, read = CONTENTS[name]

    def read_changed(**changes):
        (tmp_path / name).write_text(json.dumps({**content, **changes}))
        return read(str(tmp_path))

    read_changed()  # the first version of some files gave no number
    read_changed(format=1)
    newest = NEWEST.get(name, 1)
    for number in (newest + 1, 0, "1", 1.0, None, True):
        with pytest.raises(UserError, match=rf"{name}: .* in format {number}, this version reads {newest}; use the"):
            read_changed(format=number)
    with pytest.raises(UserError, match=rf"{name}: unknown field 'shade', so a newer version wrote the file or"):
        read_changed(shade=3)
    for text in ("{", "[]", "7", "\xff"):
        (tmp_path / name).write_text(text, "latin-1")
        with pytest.raises(UserError, match=rf"{name}: not (a|the) .* \([^\n]*\); [^\n]+$"):
            read(str(tmp_path))


@pytest.mark.parametrize("name", CONTENTS)
def test_half_a_file_is_refused(name, tmp_path):
    content, read = CONTENTS[name]
    whole = json.dumps(content)
    for size in range(len(whole)):
        (tmp_path / name).write_text(whole[:size])
        with pytest.raises(UserError, match=rf"{name}: not (a|the) .* \([^\n]*\); [^\n]+$"):
            read(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"books": 1, "format": 3}', "here: a shelf in format 3, this version reads 1; use the version"),
        ('{"colour": 1}', r"here: not a shelf \(lacks the field 'books'\); build one"),
        ('{"books": 1, "height": 2}', "here: unknown field 'height'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text, message):
    with pytest.raises(UserError, match=message):
        KIND.parse(text, "here")


def test_a_writer_writes_only_what_a_reader_takes():
    assert KIND.parse(KIND.text({"books": 3}), "here") == {"format": 1, "books": 3}
    for content in ({}, {"books": 3, "height": 2}):
        with pytest.raises(ValueError, match="a shelf"):
            KIND.text(content)
    assert report.KIND.parse(report.KIND.text({"anything": 1}), "here") == {"format": 1, "anything": 1}


def test_a_newer_configuration_is_neither_resumed_nor_opened(tmp_path):
    folder, path = str(tmp_path), tmp_path / run_folder.CONFIG_FILE
    options = run_folder.recorded_options(TrainConfig(train_logdir=folder, dataset_dir="data"), ModelConfig())
    run_folder.write_config(folder, ModelConfig(), options["training"])
    run_folder.refuse_changed_options(folder, options)
    content = json.loads(path.read_text())
    content["training"]["optimizer"]["shampoo"] = True
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config\.json: unknown option 'shampoo', so a newer version"):
        run_folder.refuse_changed_options(folder, options)
    content["format"] = 2
    path.write_text(json.dumps(content))
    read_config = lambda folder: trained._read_config(folder, "")  # noqa: E731
    for read in (read_config, lambda folder: run_folder.refuse_changed_options(folder, options)):
        with pytest.raises(UserError, match=r"config\.json: a configuration in format 2, this version reads 1"):
            read(folder)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (run_folder.CONFIG_FILE, "trained_size", "[1e9, 5]"),
        (catalog.FILE, "num_classes", "1e999"),
        (catalog.FILE, "num_classes", "2.5"),
        (catalog.FILE, "num_classes", "9" * 400),
        (catalog.FILE, "num_classes", "9" * 10_000),
        (catalog.FILE, "class_names", "[1, 2]"),
        (catalog.FILE, "class_histogram", '{"train": [NaN, 1]}'),
        (catalog.FILE, "splits", "[" * 100_000 + "]" * 100_000),
        (export_folder.CARD_FILE, "classes", "7"),
        (export_folder.CARD_FILE, "inference_scales", "[1e999]"),
        (export_folder.CARD_FILE, "input_size", '{"rule": "auto", "fit_into": [1, -1], "longer_than": 3}'),
        (best.SCORE_FILE, "step", "1e999"),
        (output_folder.FILE, "files", '{"a": {"name": 3}}'),
    ],
)
def test_values_of_other_types_and_enormous_numbers_are_one_line(name, field, value, tmp_path):
    content, read = CONTENTS[name]
    text = json.dumps({**content, field: "@"}).replace('"@"', value)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: [^\n]+$") as error:
        read(str(tmp_path))
    assert len(str(error.value)) < 600


def test_a_file_that_is_too_large_or_no_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "shelf").write_text(json.dumps({"books": "x" * 2000}))
    assert KIND.read(str(tmp_path / "shelf"))["books"] == "x" * 2000
    with pytest.raises(UserError, match=r"shelf: not a shelf \(more than 0 MB\)"):
        KIND._replace(most=1000).read(str(tmp_path / "shelf"))
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(UserError, match=r"not a shelf \(.*(not a file|directory)"):
            KIND.read(str(path))


@pytest.mark.parametrize(
    "options",
    [
        *({"num_classes": 10**9}, {"depth_multiplier": 1e9}, {"aspp_convs_filters": 10**18}, {"crop_size": (10**9, 5)}),
        *({"atrous_rates": (10**9,)}, {"num_classes": 10**400}, {"depth_multiplier": 10**400}),
        {"label_weights": (1.0,) * 200_000},
    ],
)
def test_no_configuration_asks_for_a_network_of_terabytes(options):
    with pytest.raises(UserError, match=r"^(\w+)=.*: expected [^\n]+$") as error:
        ModelConfig(**options)
    assert len(str(error.value)) < 600
