"""Runs the programs with flags drawn at random and with odd files: every run has to end well, or with one line.

    python scripts/fuzz_programs.py [--runs=500] [--seed=0] [--inputs=FOLDER] [--work_dir=DIR]

All runs share one process and small data that the script makes first. A run passes if its exit code is 0, if it prints
one line that begins with "error: ", or if `predict` or `check` names the files that it could not read. Everything else
is printed with the command that repeats it, and the script ends with code 1. The same seed draws the same commands.
`--inputs` adds the files below a folder to the odd files that the script makes.

`serve`, `data_service` and `benchmark` only read their command line here: the first two run until they are stopped, the
third takes minutes.
"""

import argparse
import contextlib
import importlib
import io
import os
import pathlib
import random
import shlex
import shutil
import sys
import tempfile
import traceback

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from absl import flags  # noqa: E402  the project has to be found first

from deeplab import UserError, cli  # noqa: E402
from deeplab.config import effects  # noqa: E402
from deeplab.config.model import ModelConfig  # noqa: E402
from deeplab.config.options import field_kind  # noqa: E402

PROGRAMS = {  # program: (module, function, module of the configuration, class, whether it is run)
    "train": ("deeplab.train", "train", "deeplab.config.training", "TrainConfig", True),
    "eval": ("deeplab.eval", "evaluate", "deeplab.config.inference", "EvalConfig", True),
    "vis": ("deeplab.vis", "visualize", "deeplab.config.inference", "VisConfig", True),
    "predict": ("deeplab.predict", "predict", "deeplab.config.inference", "PredictConfig", True),
    "export": ("deeplab.export", "export", "deeplab.config.export", "ExportConfig", True),
    "build": (
        "deeplab.programs.builders.folder",
        "build_folder_data",
        "deeplab.programs.builders.folder",
        "FolderConfig",
        True,
    ),
    "check": ("deeplab.programs.builders.check", "check", "deeplab.programs.builders.check", "CheckConfig", True),
    "serve": ("deeplab.serve", "serve", "deeplab.config.serve", "ServeConfig", False),
    "data_service": ("deeplab.data_service", "serve", "deeplab.config.data_service", "DataServiceConfig", False),
    "benchmark": ("deeplab.benchmark", "benchmark", "deeplab.config.benchmark", "BenchmarkConfig", False),
}
BASE = {  # program: flags of a run that ends well; {work} is a new folder for each run, {data} is shared
    "train": "--train_logdir={work}/run --dataset_dir={data}/shards --train_crop_size=33,33 --train_batch_size=2 "
    "--training_number_of_steps=2 --depth_multiplier=0.1",
    "eval": "--checkpoint_dir={data}/run --dataset_dir={data}/shards --eval_logdir={work}/eval",
    "vis": "--checkpoint_dir={data}/run --dataset_dir={data}/shards --vis_logdir={work}/vis",
    "predict": "--checkpoint_dir={data}/run --input={data}/images --output={work}/results",
    "export": "--checkpoint_dir={data}/run --export_path={work}/export",
    "build": "--image_dir={data}/images --label_dir={data}/labels --num_classes=3 --output_dir={work}/shards "
    "--num_workers=1",
    "check": "--dataset_dir={data}/shards --contact_sheet={work}/sheet.png",
    "serve": "--saved_model={data}/export",
    "data_service": "",
    "benchmark": "--cost",
}
# Not drawn: what waits for other machines or for new files, and what cannot be taken back in one process.
LEFT_OUT = {"tpu", "data_service", "continuous", "deterministic", "profile_logdir", "tfds_data_dir", "num_workers"}
VALUES = {  # flags whose values are drawn from here, so that a run takes seconds
    "model_variant": ("mobilenet_v2", "mobilenet_v3_small_seg", "resnet_v1_18", "vgg"),
    "distribution_strategy": ("auto", "one_device", "mirrored", "none"),
    "training_number_of_steps": ("0", "1", "2", "3"),
    "train_crop_size": ("33,33", "17,41", "1,1", "0,0", "33"),
    "backbone_weights": ("", "missing", "{data}/run"),
    "dataset": ("", "pascal_voc_seg", "tfds:missing", "other"),
    "dense_prediction_cell_json": ("cityscapes", "missing.json", "[]", "{data}/run/config.json"),
    "preset": ("mobilenetv2_dm05_coco_voc_trainaug", "other"),
    "num_shards": ("0", "1", "3"),
}
NUMBERS = {int: ("0", "1", "2", "3", "8", "16", "33"), float: ("0", "1e-9", "0.25", "0.5", "1", "2")}
NONSENSE = ("-1", "0", "1e9", "nan", "inf", "x", "", "é")
NONSENSE_SHARE = 0.2  # small enough that most runs get beyond their command line
TEXTS = ("", "missing", "{data}", "{data}/images", "{data}/images/0.png", "{data}/shards", "{data}/run",
         "{data}/run/model.ckpt-2", "{data}/export", "{work}/new", "train", "val", "best", "a,b", "é")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500, help="how many commands to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=os.path.abspath, help="a folder of further odd files")
    parser.add_argument("--work_dir", help="folder for the data; a temporary one if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(options.work_dir or temporary).resolve()
        data = make_data(place / "data")
        problems = odd_files(data, place / "odd", options.inputs)
        problems += random_flags(data, place / "runs", options.runs, options.seed)
    print(f"{len(problems)} runs ended otherwise than with code 0 or one line")
    for problem in problems:
        print(f"\n{problem}")
    sys.exit(1 if problems else 0)


def make_data(folder):
    """Makes images, labels, shards, a train_logdir and an export, with the programs themselves; returns the folder."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, size in enumerate(((40, 50), (33, 33), (50, 40))):
        pixels = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        Image.fromarray(pixels[..., 0] % 3).save(folder / "labels" / f"{i}.png")
    steps = (
        ("build", "--val_fraction=0.4 --output_dir={data}/shards"),
        ("train", "--train_logdir={data}/run"),
        ("export", "--export_path={data}/export --noverify"),
    )
    for program, more in steps:
        problem = attempt(program, f"{BASE[program]} {more}", folder, folder / "unused")
        if problem:
            sys.exit(problem)
    return folder


def random_flags(data, work, runs, seed):
    """Runs commands with one to four flags that are drawn at random; returns what did not end as it should."""
    rng, problems = random.Random(seed), []
    for number in range(runs):
        program = rng.choices(list(PROGRAMS), weights=[6 if row[-1] else 1 for row in PROGRAMS.values()])[0]
        drawn = some_flags(program, rng)
        print(f"{number + 1}/{runs}  {program} {drawn}", flush=True)
        problems += filter(None, [attempt(program, f"{BASE[program]} {drawn}", data, work)])
    return problems


def some_flags(program, rng):
    """Returns one to four flags of a program. Most of the time, the program accepts them on its command line."""
    for _ in range(20 if rng.random() > NONSENSE_SHARE else 1):
        drawn = " ".join(one_flag(program, rng) for _ in range(rng.randint(1, 4)))
        if is_legal(program, drawn):
            break
    return drawn


def is_legal(program, drawn):
    """Tells whether the command line of a program can be read."""
    try:
        config = cli.read(
            config_class(program), [program, *shlex.split(f"{BASE[program]} {drawn}")], flags.FlagValues()
        )
        if program == "train":
            effects.refuse_without_effect(config, effects.TRAIN)
            effects.refuse_without_effect(config.model_config(3), effects.MODEL, config.model)
    except UserError:
        return False
    return True


def one_flag(program, rng):
    """Returns a flag of a program with a value that is often legal and sometimes nonsense."""
    fields = [(field, owner) for field, owner, _ in cli.all_fields(config_class(program)) if field.name not in LEFT_OUT]
    if program != "train" and rng.random() > NONSENSE_SHARE:  # another network than the trained one is mostly refused
        fields = [(field, owner) for field, owner in fields if owner is not ModelConfig]
    field, owner = rng.choice(fields)
    kind, is_tuple, _ = field_kind(owner, field.name)
    if rng.random() < NONSENSE_SHARE:
        value = rng.choice(NONSENSE)
    elif kind is bool:
        return rng.choice((f"--{field.name}", f"--no{field.name}"))
    elif field.name in VALUES or field.metadata["choices"]:
        value = rng.choice(VALUES.get(field.name) or field.metadata["choices"])
    else:
        pool = NUMBERS.get(kind, TEXTS)
        value = ",".join(rng.choice(pool) for _ in range(rng.randint(1, 3))) if is_tuple else rng.choice(pool)
    return shlex.quote(f"--{field.name}={value}")


def odd_files(data, folder, more=None):
    """Runs the programs on files that nobody thought of; returns what did not end as it should."""
    inputs = make_odd_files(folder / "inputs")
    found = sorted(path for root in filter(None, (inputs, more)) for path in pathlib.Path(root).rglob("*"))
    print(f"{len(found)} odd files", flush=True)
    problems = []
    for path in found:
        problems.append(
            attempt("predict", f"{BASE['predict']} --input={shlex.quote(str(path))}", data, folder / "work")
        )
    for path in filter(None, (inputs, more)):
        both = f"--image_dir={shlex.quote(str(path))} --label_dir={shlex.quote(str(path))}"
        for how in ("", "--skip_bad", "--label_format=binary --num_classes=2 --skip_bad", "--label_format=rgb"):
            problems.append(attempt("build", f"{BASE['build']} {both} {how}", data, folder / "work"))
        problems.append(attempt("check", f"--dataset_dir={shlex.quote(str(path))}", data, folder / "work"))
        problems.append(
            attempt("eval", f"{BASE['eval']} --dataset_dir={shlex.quote(str(path))}", data, folder / "work")
        )
        for program, flag in (("eval", "checkpoint_dir"), ("predict", "checkpoint_dir"), ("export", "checkpoint_path"),
                              ("train", "tf_initial_checkpoint")):  # fmt: skip
            unset = "--checkpoint_dir= " if flag == "checkpoint_path" else ""
            for weights in found[:: max(1, len(found) // 5)]:
                given = f"{BASE[program]} {unset}--{flag}={shlex.quote(str(weights))}"
                problems.append(attempt(program, given, data, folder / "work"))
    return [problem for problem in problems if problem]


def make_odd_files(folder):
    """Writes files that pretend to be images, and images that are hard to read; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (20, 30)).astype(np.uint8)
    color = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    picture = Image.fromarray(color)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    for name, content in {
        "empty.png": b"", "text.jpg": b"no image\n", "cut.jpg": buffer.getvalue()[:300],
        "png.jpg": b"\x89PNG\r\n\x1a\n",
        "noise.png": rng.bytes(200), "dataset.json": b"{", "config.json": b'{"format": 99}', "word.txt": b"\xff\xfe",
        "model.ckpt-1.index": b"\0" * 40, "saved_model.pb": b"\x08\x01",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "sixteen_bits.png")
    Image.fromarray(grey > 99).save(folder / "one_bit.png")
    Image.fromarray(grey.astype(np.float32)).save(folder / "float.tif")
    Image.fromarray(np.dstack([color, grey])).save(folder / "alpha.png")
    Image.fromarray(np.dstack([color, grey]), "CMYK").save(folder / "cmyk.jpg")
    picture.quantize(7).save(folder / "palette.png")
    picture.save(folder / "two pages.tif", save_all=True, append_images=[picture])
    picture.save(folder / "moves.gif", save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)])
    picture.save(folder / "line\nbreak é.webp")
    for size in ((1, 1), (1, 40), (40, 1), (2, 2)):
        Image.fromarray(rng.integers(0, 255, (*size, 3)).astype(np.uint8)).save(folder / "{}x{}.png".format(*size))
    (folder / "folder.png").mkdir(exist_ok=True)
    if not (folder / "nowhere.png").is_symlink():
        (folder / "nowhere.png").symlink_to("missing")
    return folder


def attempt(program, text, data, work):
    """Runs a program with the flags `text`; returns None if it ended as it should, else what it did."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    arguments = shlex.split(text.replace("{data}", str(data)).replace("{work}", str(work)))
    out, err, code = io.StringIO(), io.StringIO(), "no exit code"
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), fresh_state(work):
        try:
            start(program, arguments)
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # an interrupt ends the script below, anything else is what it looks for
            code = traceback.format_exc()
    if "KeyboardInterrupt" in str(code):
        raise KeyboardInterrupt
    told = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    print(f"    code {str(code).splitlines()[-1]}", *told, flush=True)
    skipped = program == "predict" and code == 1 and "failed, see above" in out.getvalue()
    found_problems = program == "check" and code == 1  # its report names them
    if code in (None, 0) or (code == cli.EXIT_BAD_INPUT and len(told) == 1) or skipped or found_problems:
        return None
    return f"{program} {shlex.join(arguments)}\n{code}\n{err.getvalue()[-2000:]}"


def start(program, arguments):
    """Starts a program as its command line does; for programs that are not run, reads the command line only."""
    module, function, _, _, is_run = PROGRAMS[program]
    run = getattr(importlib.import_module(module), function)
    if not is_run:
        whole, run = run, lambda config: None
        run.__module__ = whole.__module__
    cli.main(run, config_class(program), [program, *arguments])


def config_class(program):
    _, _, module, name, _ = PROGRAMS[program]
    return getattr(importlib.import_module(module), name)


@contextlib.contextmanager
def fresh_state(folder):
    """Runs a program in `folder`, and takes back what it changes: flags, the compute type, Keras' names, locks."""
    from tensorflow import keras

    from deeplab.files import locks

    known, here = set(flags.FLAGS), os.getcwd()
    os.chdir(folder)  # drawn names of files without a folder shall lie there
    try:
        yield
    finally:
        os.chdir(here)
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
        keras.mixed_precision.set_global_policy("float32")
        keras.backend.clear_session()
        for folder in list(locks._taken):
            locks.release(folder)


if __name__ == "__main__":
    main()
