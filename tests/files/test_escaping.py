"""Names from anybody: in terminals, tables, pictures, tags, CSV files, on the page, and as names of files."""

import csv
import io
import re
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from deeplab.data import catalog
from deeplab.data.building import linter
from deeplab.errors import UserError
from deeplab.evaluation import boundary, report, scoring
from deeplab.evaluation.candidates import Candidate, ScoredCandidate
from deeplab.evaluation.metrics import Scores
from deeplab.files import escaping
from deeplab.pictures import drawing
from helpers.places import ROOT

HOSTILE = (
    "../../etc/passwd",
    "two\nlines",
    "\x1b]0;title\x07\x1b[2J",
    "<img src=x onerror=alert(1)>",
    "right to left \u202e",
    'comma, "quotes"',
    "a\x00b",
    "\x85\u2028",
)


@pytest.mark.parametrize("text", [*HOSTILE, "caf\udce9", "", "plain name", "straße 街道"])
def test_what_is_shown_is_one_printable_line(text):
    shown = escaping.terminal(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    assert escaping.terminal(shown) == shown


def test_lines_stay_lines():
    assert escaping.terminal_lines("a\x1b\nb\rc\n") == "a\\x1b\nb\\rc\n"


@pytest.mark.parametrize("text", [*HOSTILE, "caf\udce9", "", ".", "..", "é" * 300, "x" * 5000, "/", "\\"])
def test_names_of_files_are_one_part_of_a_path(text, tmp_path):
    name = escaping.file_name(text)
    assert len(name.encode()) <= escaping.LONGEST
    assert "/" not in name
    (tmp_path / name).write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert escaping.file_name(name) == name


def test_good_names_of_files_stay_and_long_ones_stay_apart():
    for name in ("img_1", "Straße 7", "a.b-c", "x" * escaping.LONGEST, unicodedata.normalize("NFD", "é")):
        assert escaping.file_name(name) == name
    assert escaping.file_name("x" * 300 + "a") != escaping.file_name("x" * 300 + "b")


@pytest.fixture
def scored():
    """Scores of a data set whose classes have the `HOSTILE` names, as dataset.json may give them."""
    count = len(HOSTILE)
    text = catalog.to_json(catalog.Dataset("evil\x1b[31m", count, class_names=HOSTILE))
    dataset = catalog.from_json(text, "dataset.json")
    assert dataset.class_names == HOSTILE
    found = Scores.from_confusion(np.eye(count, dtype=np.int64) * 5 + 1)
    candidate = Candidate("title", dataset, {"step": 7, "split": "val"}, "unused", None)
    return ScoredCandidate(candidate, scoring.SplitScores(found, found), boundary.BoundaryScores((), False, dataset))


def test_tables_have_a_line_for_each_class(scored):
    lines = report.table(scored).split("\n")
    assert all(line.isprintable() for line in lines)
    assert sum(bool(re.match(r" *\d+ ", line)) for line in lines) == len(HOSTILE)
    assert all(title.isprintable() for title in report.rows(scored))


def test_the_linter_and_legends_show_names_in_one_line(scored):
    dataset = scored.candidate.dataset
    found = linter.Findings(problems=["a\x1b[31m"])
    assert all(line.isprintable() for line in linter.report(found, dataset).split("\n"))
    labels = np.arange(len(HOSTILE)).reshape(1, -1)
    entries = drawing.legend([labels], HOSTILE, np.zeros((256, 3), np.uint8))
    assert all(name.isprintable() for name, _color in entries)


def test_files_of_an_evaluation(scored, tmp_path, capsys):
    report.publish(scored, str(tmp_path))
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))
    rows = list(csv.reader(io.StringIO((tmp_path / "confusion_matrix.csv").read_text())))
    assert [len(row) for row in rows] == [len(HOSTILE) + 1] * (len(HOSTILE) + 1)
    assert 'comma, "quotes"' in rows[0]
    (events,) = tmp_path.glob("events*")
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag.startswith("eval_iou")
    }
    assert len(tags) == len(HOSTILE)
    assert all(tag.isprintable() and tag.count("/") == 1 for tag in tags)
    written = {path.name for path in tmp_path.rglob("*")} - {events.name}
    assert written == {"results.json", "confusion_matrix.csv", "confusion_matrix.png"}


def test_messages_name_classes_in_one_line(scored):
    dataset = scored.candidate.dataset
    other = catalog.Dataset("other", len(HOSTILE), class_names=tuple("abcdefgh"))
    with pytest.raises(UserError) as error:
        catalog.require_same_classes(dataset, other, "net", "dir")
    assert escaping.terminal_lines(error.value).isprintable()


def test_the_page_writes_names_as_text():
    page = (ROOT / "deeplab" / "serving" / "page.html").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment", page)
