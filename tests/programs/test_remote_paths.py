"""Every program on paths that only tf.io.gfile knows: TensorFlow's ram:// stands for gs://."""

import pytest
import tensorflow as tf

from deeplab.data.building import listing
from deeplab.files import paths
from helpers import fake_data
from helpers.readme_commands import ROOT, run_program, run_script

pytestmark = pytest.mark.usefixtures("short_mobilenet", "quick_tracing")


def upload(folder, target):
    """Copies all files below a folder on disk."""
    for path in folder.rglob("*.*"):
        place = f"{target}/{path.relative_to(folder)}"
        tf.io.gfile.makedirs(place.rpartition("/")[0])
        tf.io.gfile.copy(str(path), place, overwrite=True)


@pytest.mark.slow
def test_from_pictures_to_predictions(tmp_path):
    fake_data.folders(tmp_path, 3)
    for split, names in (("train", "img_0\nimg_1"), ("val", "img_2")):
        (tmp_path / f"{split}.txt").write_text(names)
    upload(tmp_path, "ram://in")
    lists = "--list=ram://in/train.txt,ram://in/val.txt"
    folders = ("--image_dir=ram://in/images", "--label_dir=ram://in/labels", "--output_dir=ram://shards")
    run_script(str(ROOT / "datasets/build_folder_data.py"), *folders, lists, "--class_names=a,b,c")
    run_script(str(ROOT / "datasets/check.py"), "--dataset_dir=ram://shards")
    flags = [
        "--train_crop_size=33,33",
        "--train_batch_size=2",
        "--eval_interval_steps=2",
        "--training_number_of_steps=",
    ]
    for steps, said in (("2", "best so far: ram://run/best/model.ckpt-2"), ("3", "Resuming ram://run at step 2")):
        told = run_program(
            "train", "--dataset_dir=ram://shards", "--train_logdir=ram://run", *flags[:3], flags[3] + steps
        )
        assert said in told
    for program in ("eval", "vis"):
        run_program(program, "--checkpoint_dir=ram://run", "--dataset_dir=ram://shards")
    export = f"{tmp_path}/export"  # ram:// renames a folder without what is in it
    run_program("export", "--checkpoint_dir=ram://run", f"--export_path={export}")
    for source, output in (("checkpoint_dir=ram://run", "ram://first"), (f"saved_model={export}", "ram://second")):
        run_program("predict", f"--{source}", "--input=ram://in/images", f"--output={output}")
        assert {"img_2.png", "img_2_overlay.png"} <= set(tf.io.gfile.listdir(output))
    for path in ("eval_val/results.json", "vis_val/segmentation_results/img_2.png", "model.ckpt-3.index"):
        assert tf.io.gfile.exists(f"ram://run/{path}"), path


def test_files_of_both_kinds(tmp_path):
    fake_data.folders(tmp_path, 2)
    (tmp_path / "train.txt").write_bytes("\ufeffimg_0.jpg \r\nimg_1\r\n".encode())
    upload(tmp_path, "ram://both")
    for root in (str(tmp_path), "ram://both"):
        assert list(listing.files_by_name(f"{root}/images", "image_dir")) == ["img_0", "img_1"]
        assert listing.read_list(f"{root}/train.txt") == ["img_0", "img_1"]
        assert paths.exists(f"{root}/train.txt")
        assert not paths.is_folder(f"{root}/nowhere")
        with pytest.raises(OSError, match="nowhere"):
            paths.read(f"{root}/nowhere")
