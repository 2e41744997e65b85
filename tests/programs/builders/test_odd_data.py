"""What `deeplab build` makes of odd folders is right or refused, and docs/odd_data.md says it.

ODD_DATA=write pytest tests/programs/builders/test_odd_data.py writes the table into the page.
"""

import os
import shutil

import pytest

from helpers import odd_data
from helpers.places import ROOT

PAGE = ROOT / "docs" / "odd_data.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->"


def happened(case, folder, output):
    """Builds a case; returns (what happened, what was printed, error), after a look at what was built."""
    printed, error = odd_data.build(folder, output, case.flags)
    if error:
        assert not list(output.glob("*.tfrecord")), f"{case.title}: refused, and shards are left"
        pasted = odd_data.paste(error)
        if pasted:
            assert pasted[1] == "", f"{case.title}: the command in the message does not build"
            assert odd_data.wrong(case, output) == "", case.title
        return odd_data.REFUSED, printed, error
    assert odd_data.wrong(case, output) == "", f"{case.title} {case.flags}"
    return case.happens if case.happens != odd_data.REFUSED else odd_data.BUILT, printed, error


@pytest.mark.slow
def test_odd_folders_are_built_right_or_refused_as_the_page_says(tmp_path):
    rows = []
    for case in odd_data.CASES:
        folder, output = tmp_path / "folder", tmp_path / "out"
        case.draw(folder)
        happens, printed, error = happened(case, folder, output)
        assert happens == case.happens, f"{case.title} {case.flags}: {error or printed}"
        rows.append(odd_data.row(case, printed, error, tmp_path))
        assert "NOT SAID" not in rows[-1], f"{case.title} {case.flags}: {printed}{error}"
        shutil.rmtree(folder)
        shutil.rmtree(output, ignore_errors=True)
    table = odd_data.HEAD + "\n".join(rows) + "\n"
    before, _begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    written, _end, after = rest.partition(END)
    if os.environ.get("ODD_DATA") == "write":
        PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", "utf-8")
    else:
        assert written == table
