"""Finds the commands of README and other pages, and runs them in a folder that has the files they name.

Commands run with small changes, so that they take less time or do without files that nobody has here. `INSTEAD` and
`Workspace` hold these changes. Networks are the short ones of short_networks.py.
"""

import contextlib
import functools
import importlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest
from absl import flags

import deeplab
import deeplab.__main__
from deeplab import cli, devices
from deeplab.benchmarks import published_costs
from deeplab.checkpoints import bundle
from deeplab.model.names import reference_name
from deeplab.programs import benchmark
from helpers import fake_data, published_archives, videos
from helpers.places import ROOT

_SMALL = " --train_crop_size=65,65 --train_batch_size=2 --nosave_summaries_images"
_SHORT = f"{_SMALL} --training_number_of_steps=2 --slow_start_step=1"
INSTEAD = {  # text of the README: text that replaces it in order to take less time
    "--recipe=own_data": f"\\g<0>{_SHORT} --eval_interval_steps=0",
    "--training_number_of_steps=1000": "--training_number_of_steps=2",
    "--base_learning_rate=0.001": f"--base_learning_rate=0.001{_SMALL}",
    "--recipe=camvid_mobilenet_v2": f"\\g<0>{_SHORT}",
    "--recipe=voc_xception_65": f"\\g<0> --model_variant=mobilenet_v2{_SHORT}",
    "--train_batch_size=16": _SHORT,
    "--eval_crop_size=513,513": "--eval_crop_size=65,65",
    "--eval_scales=0.5,0.75,1.0,1.25,1.5,1.75": "--eval_scales=0.5",
    "eval_scales=(0.5, 1.0, 1.75), add": "eval_scales=(0.5,), add",
    "train_crop_size=(321, 321), training_number_of_steps=1000": "train_crop_size=(65, 65), train_batch_size=2, "
    "save_summaries_images=False, training_number_of_steps=2",
    'model_variant="xception_65"': 'model_variant="mobilenet_v2"',
}
SERVE = "python -m deeplab.serve "


class Block(NamedTuple):
    """A block of lines: commands (kind "shell", continued lines joined), a program ("python"), or output ("text")."""

    section: str  # the heading above the block
    kind: str
    lines: tuple


def blocks(page):
    """Returns the `Block`s of a page, in order."""
    found, section = [], ""
    for part in re.findall(r"^#+ .*|^```\w+\n(?s:.*?)^```|^ {4}\S.*\n(?: {4}.*\n)*", page, re.MULTILINE):
        if part.startswith("#"):
            section = part.lstrip("# ")
        elif part.startswith("```"):
            kind, _, text = part.removesuffix("```").partition("\n")
            found.append(Block(section, kind[3:], tuple(text.splitlines())))
        else:
            joined = re.sub(r"\\\n +|(?<=\|)\n +", " ", part)
            found.append(Block(section, "shell", tuple(line[4:] for line in joined.splitlines())))
    return found


def is_python(command):
    """Tells whether `Workspace.run` runs this line in this process."""
    return bool(re.match(r"python (-m deeplab\.|datasets/)|deeplab \w", command)) and not command.startswith(SERVE)


def is_request(command):
    """Tells whether this is a line that `Workspace.serve` runs."""
    return bool(re.match("(curl|echo) ", command))


def quick(command):
    """Returns what is run where README says `command`."""
    for said, instead in INSTEAD.items():
        command = re.sub(re.escape(said), instead, command)
    return command


class Workspace:
    """A folder with all that the commands read."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("datasets", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("LOGDIR1", "LOGDIR2"):
            (folder / name).symlink_to(folder / "LOGDIR")
        self._pictures()
        self._public_data_sets()
        self._checkpoints()
        published_archives.put(folder / "cache")

    def _pictures(self):
        self.run("python datasets/draw_shapes.py --train_images=3 --val_images=1 --size=48,64 --output_dir=.")
        for name, new in (("images", "IMAGES"), ("labels", "LABELS")):
            (self.folder / name).rename(self.folder / new)
        for path in ("photo.jpg", "PHOTOS/one.jpg", "PHOTOS/two.png"):
            fake_data.save(fake_data.image(40, 56), self.folder / path)
        videos.make(self.folder / "film.mov", videos.pictures(2, 32, 48))

    def _public_data_sets(self):
        camvid, voc = self.folder / "CamVid", self.folder / "VOC2012"
        for i in range(3):
            picture = fake_data.image(seed=i)
            for split in ("train", "val"):
                fake_data.save(picture, camvid / split / f"{i}.png")
                fake_data.save(fake_data.label(num_classes=11, ignore=11), camvid / f"{split}annot" / f"{i}.png")
            fake_data.save(picture, voc / "JPEGImages" / f"{i}.jpg")
            for labels in ("SegmentationClass", "SegmentationClassAug"):
                fake_data.save(fake_data.label(num_classes=21), voc / labels / f"{i}.png")
        lists = voc / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        for split, name in (("train", "0"), ("val", "1")):
            (lists / f"{split}.txt").write_text(name)

    def _checkpoints(self):
        half = {"depth_multiplier": 0.5}
        whole = {"atrous_rates": (6, 12, 18), "decoder_output_stride": (4,)}
        for path, options in (
            ("mobilenetv2_dm05_voc/model.ckpt-30000", half),
            ("model.ckpt-30000", whole),
            ("xception_65/model.ckpt", whole),
        ):
            model = deeplab.build_model(deeplab.ModelConfig(output_stride=16, **options), (65, 65, 3))
            values = {reference_name(variable): variable.numpy() for variable in model.variables}
            (self.folder / path).parent.mkdir(exist_ok=True)
            bundle.write(str(self.folder / path), {**values, "global_step": np.int64(30000)})

    def run_blocks(self, among):
        """Runs `Block`s and checks that they print what the page says."""
        told = ""
        for block in among:
            if block.kind == "python":
                self.execute("\n".join(block.lines))
            elif block.kind == "text":
                for line in block.lines:
                    assert re.search(as_pattern(line), told), f"not printed: {line}\n{told}"
            else:
                told += "".join(map(self.run, filter(is_python, block.lines)))
                for command in block.lines:
                    if command.startswith(SERVE):
                        self.serve(command, filter(is_request, block.lines))

    def run(self, command):
        """Runs a `python` or `deeplab` line in this process; returns its stdout."""
        program, first, *words = shlex.split(quick(command), comments=True)
        with self._inside():
            if program == "deeplab":
                return _run(deeplab.__main__.main, [program, first, *words])
            if first == "-m":
                return run_program(words[0].removeprefix("deeplab."), *words[1:])
            return run_script(first, *words)

    @contextlib.contextmanager
    def _inside(self):
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DEEPLAB_CACHE", str(self.folder / "cache"))
                yield
        finally:
            os.chdir(before)

    def execute(self, code):
        """Runs a program, which gets the names that it takes as given."""
        import tensorflow as tf

        images = fake_data.image(33, 49)[None]
        small = np.zeros((2, 33, 49, 3), np.uint8), np.zeros((2, 33, 49), np.uint8)
        names = {"tf": tf, "images": images, "data": tf.data.Dataset.from_tensors(small)}
        with self._inside():
            exec(compile(quick(code), "README.md", "exec"), names)
        if "labels" in names:
            assert names["labels"].shape == images.shape[:3]

    def serve(self, command, requests):
        """Serves what a `python -m deeplab.serve` line says, on a free port, and sends the requests through bash."""
        pytest.importorskip("uvicorn", reason="pip install uvicorn")
        if shutil.which("curl") is None:
            pytest.skip("needs curl")
        with self._inside(), _serving(command) as port:
            for line in requests:
                line, _, said = line.replace("localhost:8501", f"127.0.0.1:{port}").partition("  # ")
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, done.stderr
                key = re.search(r'"(\w+)": ', said)
                assert f'"{key[1] if key else "model_version_status"}":' in done.stdout


def run_program(name, *words):
    """Runs `python -m deeplab.NAME WORDS` in this process; returns its stdout."""
    return _run(importlib.import_module(f"deeplab.{name}").main, [name, *words])


def run_script(path, *words):
    """Runs `python PATH WORDS` in this process; returns its stdout."""
    return _run(functools.partial(runpy.run_path, path, run_name="__main__"), [path, *words])


def _run(main, arguments):
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
        patch.setattr(flags, "FLAGS", flags.FlagValues())
        patch.setattr(sys, "argv", arguments)
        _leave_out_measurements(patch)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            devices.set_precision("none")
    assert ended.value.code in (None, 0), f"{arguments}\n{told.getvalue()}"
    return told.getvalue()


def as_pattern(line):
    """Returns the regular expression of a line that is printed: with any numbers and any spaces."""
    words = (re.escape(word).replace(r"\-", "-") for word in line.split())
    return r"\s+".join(re.sub(r"\d[\d.,e:-]*", r"[\\d.,e:+-]+", word) for word in words)


def _leave_out_measurements(patch):
    """`benchmark` only reads its flags; that it measures is shown in test_benchmark.py and test_cost.py."""
    for name in ("_export", "_training", "_scaling", "_input", "_startup"):
        patch.setattr(benchmark, name, lambda config: [])
    rows = published_costs.model_zoo()[:1]
    patch.setattr(published_costs, "PAPER", ())
    patch.setattr(published_costs, "model_zoo", lambda: rows)


@contextlib.contextmanager
def _serving(command):
    """Serves in a thread; gives the port."""
    from deeplab.config.serve import ServeConfig
    from deeplab.inference import export_folder
    from deeplab.serving import app, run
    from deeplab.serving.computing import model

    words = [*shlex.split(command, comments=True)[2:], "--port=0"]
    config = cli.read(ServeConfig, words, flags.FlagValues())
    server = run.http_server(
        app.Application(config, functools.partial(export_folder.candidates, config.saved_model), model.ServedModel)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(30)
