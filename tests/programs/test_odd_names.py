"""Names with spaces, accents and folders, from the builder through eval, vis and predict."""

import json

import pytest

from deeplab.config.inference import EvalConfig, PredictConfig, VisConfig
from deeplab.data import catalog
from deeplab.eval import evaluate
from deeplab.programs import predict
from deeplab.programs.builders import folder
from deeplab.vis import visualize
from helpers import fake_data, small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet", "quick_tracing")
NAMES = ("été 1/a b", "été 1/c,d", "Straße/x (1)", "plain")


@pytest.mark.slow
def test_odd_names_work_in_every_program(tmp_path):
    for seed, name in enumerate(NAMES):
        fake_data.save(fake_data.image(33, 33, seed), tmp_path / "in" / "images" / f"{name}.png")
        fake_data.save(fake_data.label(33, 33, seed), tmp_path / "in" / "masks" / f"{name}.png")
    (tmp_path / "in" / "val.txt").write_text("\ufeff" + "\n".join(f"{name}.png" for name in NAMES), "utf-8")
    shards, logdir = str(tmp_path / "shards"), small_training.logdir()
    classes = ",".join(small_training.dataset().class_names)
    folder.build_folder_data(
        folder.FolderConfig(folder=str(tmp_path / "in"), class_names=classes, output_dir=shards, num_workers=1)
    )
    assert catalog.load(shards).splits == {"val": 4}
    evaluate(EvalConfig(checkpoint_dir=logdir, dataset_dir=shards, eval_logdir=str(tmp_path / "eval")))
    assert json.loads((tmp_path / "eval" / "results.json").read_text())["num_images"] == 4
    visualize(VisConfig(checkpoint_dir=logdir, dataset_dir=shards, vis_logdir=str(tmp_path / "vis")))
    images = str(tmp_path / "in" / "images")
    predict.predict(PredictConfig(checkpoint_dir=logdir, input=images, output=str(tmp_path / "out")))
    for name in NAMES:
        assert (tmp_path / "vis" / "segmentation_results" / f"{name}.png").exists(), name
        assert (tmp_path / "out" / f"{name}.png").exists(), name
