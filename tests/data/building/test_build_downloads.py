"""The download scripts against a file server on this machine: interrupted, damaged, complete."""

import functools
import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from deeplab.data import catalog
from helpers import fake_data
from helpers.places import ROOT


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files; answers `Range: bytes=N-` as servers of large files do, and remembers what was asked for."""

    asked = []  # shared on purpose: handlers live for one request

    def do_GET(self):
        data = pathlib.Path(self.translate_path(self.path))
        if not data.exists():
            return self.send_error(404)
        content, start = data.read_bytes(), 0
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if wanted:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])
        return None

    def log_message(self, *_):
        """Keeps quiet."""


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path/served; yields its address."""
    (tmp_path / "served").mkdir()
    RangeHandler.asked.clear()
    handler = functools.partial(RangeHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://localhost:{httpd.server_port}"
        httpd.shutdown()


def run(name, work, **environment):
    command = ["bash", str(ROOT / "scripts" / f"download_and_convert_{name}.sh"), str(work)]
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def voc_archive(folder, path):
    root = folder / "VOCdevkit" / "VOC2012"
    for i in range(3):
        fake_data.save(fake_data.image(seed=i), root / "JPEGImages" / f"{i}.jpg")
        fake_data.save(fake_data.label(seed=i), root / "SegmentationClass" / f"{i}.png", list(range(256)) * 3)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, names in (("train", "0\n1\n"), ("val", "2\n")):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(names)
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "VOCdevkit", "VOCdevkit")
    return path.read_bytes()


@pytest.mark.slow
def test_voc_continues_checks_and_builds(server, tmp_path):
    content = voc_archive(tmp_path, tmp_path / "served" / "voc.tar")
    work, url = tmp_path / "work", f"{server}/voc.tar"
    work.mkdir()
    part = work / "VOCtrainval_11-May-2012.tar.part"
    part.write_bytes(b"x" * 1000)  # a wrong beginning: the sum shows it
    sha256 = hashlib.sha256(content).hexdigest()
    result = run("voc2012", work, VOC2012_URL=url, VOC2012_SHA256=sha256)
    assert result.returncode != 0
    assert "is not the expected file" in result.stderr
    assert not part.exists()

    part.write_bytes(content[:1000])  # what an interrupted run leaves
    result = run("voc2012", work, VOC2012_URL=url, VOC2012_SHA256=sha256)
    assert result.returncode == 0, result.stderr
    assert RangeHandler.asked == ["bytes=1000-"] * 2
    assert catalog.load(str(work / "tfrecord")).splits == {"train": 2, "val": 1}
    assert "is there already" in run("voc2012", work, VOC2012_URL=f"{server}/gone.tar").stdout


@pytest.mark.slow
def test_ade20k_builds_and_names_what_failed(server, tmp_path):
    work = tmp_path / "work"
    result = run("ade20k", work, ADE20K_URL=f"{server}/gone.zip")
    assert result.returncode != 0
    assert "gone.zip cannot be downloaded" in result.stderr
    with zipfile.ZipFile(tmp_path / "served" / "ade.zip", "w") as archive:
        for folder in ("training", "validation"):
            picture = fake_data.save(fake_data.image(), tmp_path / f"{folder}.jpg")
            label = fake_data.save(fake_data.label(ignore=0), tmp_path / f"{folder}.png")
            archive.write(picture, f"ADEChallengeData2016/images/{folder}/ADE_1.jpg")
            archive.write(label, f"ADEChallengeData2016/annotations/{folder}/ADE_1.png")
    result = run("ade20k", work, ADE20K_URL=f"{server}/ade.zip")
    assert result.returncode == 0, result.stderr
    assert catalog.load(str(work / "tfrecord")).splits == {"train": 1, "val": 1}
