"""Weights that are fetched: by name and address, interrupted and resumed, altered, from servers of every kind."""

import errno
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.error

import numpy as np
import pytest

import deeplab
from deeplab.checkpoints.published import addresses, cache, download
from deeplab.config.published import files
from deeplab.files import formats
from helpers.file_server import serving
from helpers.places import ROOT

NAME = "mobilenetv2_dm05_coco_voc_trainaug"
ARCHIVE = files.FILES[NAME].archive
CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache, which does not exist yet."""
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    with serving({ARCHIVE: CONTENT}) as (address, behaviour):
        monkeypatch.setenv("DEEPLAB_MODELS_URL", address)
        yield behaviour


def refused(path=f"preset:{NAME}"):
    """Returns the message of the error that fetching `path` ends with; it is one line."""
    with pytest.raises(deeplab.UserError) as error:
        cache.local(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_first_use_downloads_and_the_second_does_not_touch_the_server(server, folder, capsys):
    place = cache.local(f"preset:{NAME}")
    assert place == str(folder / ARCHIVE)
    assert (folder / ARCHIVE).read_bytes() == CONTENT
    assert sorted(os.listdir(folder)) == [ARCHIVE, f"{ARCHIVE}.json"]
    told = capsys.readouterr().out
    assert "Downloading http://127.0.0.1:" in told
    assert hashlib.sha256(CONTENT).hexdigest() in told
    assert "Apache License 2.0" in told
    assert "trained on ImageNet, MS-COCO, VOC 2012 train_aug" in told
    server.status = 500
    assert cache.local(f"preset:{NAME}") == place
    assert len(server.requests) == 1
    assert capsys.readouterr().out == ""


def test_an_interrupted_download_goes_on_where_it_stopped(server, folder, monkeypatch):
    server.cuts, server.status = [100_000], None
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    said = refused()
    assert "100000 of " in said
    assert "the next run goes on there" in said
    assert (folder / f"{ARCHIVE}.part").stat().st_size == 100_000
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == CONTENT
    assert [wanted for _path, wanted, _condition in server.requests] == [None, "bytes=100000-"]
    assert server.requests[1][2].startswith('"')


def test_ctrl_c_keeps_what_came(server, folder, monkeypatch):
    append = cache._Part.append

    def interrupted(self, content):
        append(self, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache._Part, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.local(f"preset:{NAME}")
    monkeypatch.setattr(cache._Part, "append", append)
    kept = (folder / f"{ARCHIVE}.part").stat().st_size
    assert 0 < kept <= len(CONTENT)
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == CONTENT
    # A part that is complete needs no server any more.
    assert len(server.requests) == 1 + (kept < len(CONTENT))
    assert sorted(os.listdir(folder)) == [ARCHIVE, f"{ARCHIVE}.json"]


def test_files_have_a_largest_size(server, folder, monkeypatch):
    monkeypatch.setattr(download, "_MOST", 1000)
    monkeypatch.setattr(download, "_CHUNK", 1000)
    assert "the server sends more than" in refused()


def test_a_connection_that_breaks_is_asked_again(server, folder):
    server.cuts = [100_000, 0, 50_000]
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == CONTENT
    assert len(server.requests) == 4


@pytest.mark.parametrize("validators", [("ETag",), ("Last-Modified",), ()])
@pytest.mark.parametrize("ranges", [True, False])
def test_servers_that_ignore_ranges_or_name_no_version(server, folder, validators, ranges):
    server.cuts, server.ranges, server.validators = [1000], ranges, validators
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == CONTENT


@pytest.mark.parametrize("validators", [("ETag",), ()])
def test_a_part_of_another_version_is_thrown_away(server, folder, monkeypatch, validators):
    server.cuts, server.validators = [1000], validators
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    refused()
    monkeypatch.setattr(download, "_ATTEMPTS", 4)
    other = gzip.compress(np.random.default_rng(1).bytes(5000))
    server.files[ARCHIVE] = other
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == other


def test_a_length_that_is_not_told_is_taken_from_the_archive(server, folder):
    server.length = False
    cache.local(f"preset:{NAME}")
    assert (folder / ARCHIVE).read_bytes() == CONTENT
    shutil.rmtree(folder)
    server.cuts = [1000]
    assert "damaged" in refused()
    assert os.listdir(folder) == []


def test_a_changed_byte_is_found(server, folder):
    place = cache.local(f"preset:{NAME}")
    changed = bytearray(CONTENT)
    changed[5000] ^= 1
    (folder / ARCHIVE).write_bytes(changed)
    said = refused()
    assert f"{place}: altered since it was downloaded" in said
    assert "remove it" in said
    (folder / ARCHIVE).write_bytes(CONTENT)
    (folder / f"{ARCHIVE}.json").write_text("{")
    assert "not the record of a file that was downloaded" in refused()


def test_two_processes_download_once(server, folder):
    server.seconds = 0.5
    code = f"from deeplab.checkpoints.published import cache; cache.local('preset:{NAME}')"
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(server.requests) == 1
    assert sum("Downloading" in text for text in told) == 1
    assert sorted(os.listdir(folder)) == [ARCHIVE, f"{ARCHIVE}.json"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": 404}, "the server answers 404 Not Found"),
        ({"status": 403}, "the server answers 403 Forbidden"),
        ({"status": 503}, "the server answers 503"),
        ({"page": True}, r"sends a page \(text/html\) in place of a file"),
        ({"files": {ARCHIVE: b"<html>no archive</html>"}}, "what came is no archive, so it was removed"),
        ({"files": {ARCHIVE: CONTENT[:-8] + bytes(8)}}, r"what came is damaged \(CRC check failed"),
        ({"files": {ARCHIVE: CONTENT[:-100]}}, "what came is damaged"),
        ({"redirect": "file:///etc/passwd"}, "302"),
    ],
)
def test_what_a_server_may_send_instead(server, folder, change, told):
    for name, value in change.items():
        setattr(server, name, value)
    said = refused()
    assert f"put the file at {folder / ARCHIVE}" in said
    assert f"preset:{NAME} (http://127.0.0.1:" in said
    assert re.search(told, said), said
    assert os.listdir(folder) == []


def test_without_a_network_a_line_says_address_and_place(folder, monkeypatch):
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://127.0.0.1:9/models/")
    said = refused()
    assert f"http://127.0.0.1:9/models/{ARCHIVE}" in said
    assert f"put the file at {folder / ARCHIVE}" in said
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://nobody.invalid")
    assert "no network, or no such host" in refused()


def test_a_file_that_a_person_put_there_is_taken(folder, capsys, monkeypatch):
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://127.0.0.1:9")
    folder.mkdir()
    (folder / ARCHIVE).write_bytes(CONTENT)
    assert cache.local(f"preset:{NAME}") == str(folder / ARCHIVE)
    assert "Found" in capsys.readouterr().out
    assert cache.RECORD.read(str(folder / f"{ARCHIVE}.json"))["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    other = files.FILES["mobilenetv2_coco_voc_trainaug"].archive  # its digest is known
    (folder / other).write_bytes(CONTENT)
    assert "its sha384 is not the one that is known for" in refused("preset:mobilenetv2_coco_voc_trainaug")


def test_a_known_digest_is_checked_after_the_download(server, folder):
    server.files[files.FILES["mobilenetv2_coco_voc_trainaug"].archive] = CONTENT
    assert "its sha384 is not the one that is known for" in refused("preset:mobilenetv2_coco_voc_trainaug")
    assert os.listdir(folder) == []


def test_a_full_disk_leaves_nothing(server, folder, monkeypatch):
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda _path: usage._replace(free=1000))
        assert f"the disk of {folder} is full; DEEPLAB_CACHE names another folder" in refused()

    def fail(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache._Part, "append", fail)
    assert f"the disk of {folder} is full" in refused()
    assert os.listdir(folder) == []


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "cache", "/proc/deeplab"):
        monkeypatch.setenv("DEEPLAB_CACHE", str(place))
        said = refused()
        assert f"{place}/{ARCHIVE} cannot be written" in said
        assert "DEEPLAB_CACHE names another folder" in said
    monkeypatch.setenv("DEEPLAB_CACHE", "gs://bucket")
    assert "expected a folder of this machine" in refused()
    assert not server.requests


def test_places_of_the_cache(monkeypatch):
    home = os.path.expanduser("~")
    for variables, expected in (
        ({"DEEPLAB_CACHE": "~/own"}, f"{home}/own"),
        ({"XDG_CACHE_HOME": "/var/shared"}, "/var/shared/deeplab"),
        ({"XDG_CACHE_HOME": "relative"}, f"{home}/.cache/deeplab"),
        ({}, f"{home}/.cache/deeplab"),
    ):
        for name in ("DEEPLAB_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert cache.folder() == expected


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("preset:xception65_coco_voc_trainvl", "did you mean xception65_coco_voc_trainval"),
        ("preset:", "no published weights of this name"),
        ("s3://bucket/a.tar.gz", "nobody reads addresses that begin with s3://"),
        ("htps://host/a.tar.gz", "nobody reads addresses that begin with htps://"),
        ("https://host/folder/", "names no file with weights"),
        ("https:///a.tar.gz", "expected an address such as https://host/folder"),
        ("https://host:99999/a.tar.gz", "expected an address"),
        ("https://[::1/a.tar.gz", "expected an address"),
        ("https://host/a b.tar.gz", "expected an address"),
    ],
)
def test_names_and_addresses_that_cannot_be(path, told):
    assert told in refused(path)


@pytest.mark.parametrize("base", ["ftp://host", "host", "https://"])
def test_a_base_address_that_cannot_be(base, monkeypatch):
    monkeypatch.setenv("DEEPLAB_MODELS_URL", base)
    assert f"DEEPLAB_MODELS_URL={base}: expected an address such as https://host/folder" in refused()


def test_addresses_of_the_user_have_places_of_their_own(server, folder):
    server.files |= {"one/a.tar.gz": CONTENT, "two/a.tar.gz": gzip.compress(b"other")}
    base = os.environ["DEEPLAB_MODELS_URL"]
    places = [cache.local(f"{base}/{name}/a.tar.gz") for name in ("one", "two")]
    assert len(set(places)) == 2
    assert {os.path.basename(place) for place in places} == {"a.tar.gz"}
    assert [os.path.dirname(os.path.dirname(place)) for place in places] == [str(folder)] * 2
    assert cache.local("gs://bucket/a.tar.gz") == "gs://bucket/a.tar.gz"
    assert cache.local("folder/model.ckpt-3") == "folder/model.ckpt-3"


def test_origin_tells_no_password(server):
    base = os.environ["DEEPLAB_MODELS_URL"]
    server.files["a.tar.gz"] = server.files["a.tar.gz?key=secret"] = CONTENT
    cache.local(f"{base}/a.tar.gz?key=secret")
    origin = cache.origin(f"{base}/a.tar.gz?key=secret")
    assert origin["address"] == f"{base}/a.tar.gz"
    assert origin["licence"] is None
    cache.local(f"preset:{NAME}")
    origin = cache.origin(f"preset:{NAME}")
    assert (origin["name"], origin["trained_on"]) == (NAME, "ImageNet, MS-COCO, VOC 2012 train_aug")
    assert origin["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert formats.fits(origin, {"name": str, "address": str, "licence": str})
    assert cache.origin("somewhere/model.ckpt-3") is None


def test_http_is_asked_for_https_first_and_used_only_where_there_is_none(server, folder, monkeypatch):
    asked, real = [], download._open

    def fake_open(address, headers, seconds):
        asked.append(address)
        if address.startswith("https:"):
            raise urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
        return real(address.replace("http://host", os.environ["BEHIND"]), headers, seconds)

    monkeypatch.setenv("BEHIND", os.environ["DEEPLAB_MODELS_URL"])
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://host")
    monkeypatch.setattr(download, "_open", fake_open)
    server.cuts = [1000]
    cache.local(f"preset:{NAME}")
    assert asked == [f"https://host/{ARCHIVE}", f"http://host/{ARCHIVE}", f"http://host/{ARCHIVE}"]


def test_a_certificate_that_is_not_valid_is_no_reason_to_go_without(monkeypatch):
    bad = download.ssl.SSLCertVerificationError(1, "certificate verify failed")
    bad.verify_message = "self-signed certificate"

    def fake_open(address, headers, seconds):
        assert address.startswith("https:")
        raise urllib.error.URLError(bad)

    monkeypatch.setattr(download, "_open", fake_open)
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://host")
    assert "its certificate is not valid: self-signed certificate" in refused()


def test_every_backbone_of_the_model_zoo_has_its_file():
    known = {(file.model_variant, file.weights): file.archive for file in files.FILES.values() if file.model_variant}
    assert known == {
        ("xception_41", "imagenet"): "xception_41_2018_05_09.tar.gz",
        ("xception_65", "imagenet"): "deeplabv3_xception_2018_01_04.tar.gz",
        ("xception_65", "imagenet_coco"): "xception_65_coco_pretrained_2018_10_02.tar.gz",
        ("xception_71", "imagenet"): "xception_71_2018_05_09.tar.gz",
        ("resnet_v1_50_beta", "imagenet"): "resnet_v1_50_2018_05_04.tar.gz",
        ("resnet_v1_101_beta", "imagenet"): "resnet_v1_101_2018_05_04.tar.gz",
    }
    assert files.of_backbone("mobilenet_v2", "imagenet") is files.KERAS
    for variant, weights in (("resnet_v1_18", "imagenet"), ("mobilenet_v2", "imagenet_coco")):
        with pytest.raises(deeplab.UserError, match=f"backbone_weights='{weights}' with .*xception_41: imagenet"):
            files.of_backbone(variant, weights)


def test_sources_name_their_files():
    source = addresses.of(f"https://host/models/{ARCHIVE}?signature=1")
    assert source.name == ARCHIVE.removesuffix(".tar.gz")
    assert source.published.name == NAME  # a copy of a published file keeps its licence
