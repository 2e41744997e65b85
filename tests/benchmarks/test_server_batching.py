"""The table of the server's throughput beside direct calls, on one tiny export."""

import pytest

from helpers import small_export

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.benchmarks import server_batching


@pytest.mark.slow
def test_every_way_is_measured_with_every_number_of_clients(tmp_path, capsys, short_mobilenet, monkeypatch):
    monkeypatch.setattr(server_batching, "SIDE", 33)
    small_export.run(tmp_path / "export")
    rows = server_batching.print_load(str(tmp_path / "export"), images=4, runs=2, clients=(1, 3))
    assert len(rows) == 6
    assert all(row.unit == "images/s" and row.median > 0 for row in rows.values())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["1", "3"]
