"""The published weights as TFLite against the published TFLite file, where both are at hand."""

import numpy as np
import pytest
from PIL import Image

from deeplab.config.export import ExportConfig
from deeplab.export import export
from deeplab.exporting.formats import tflite
from helpers.places import SHARED

PRETRAINED = SHARED / "pretrained"
WEIGHTS, PUBLISHED = PRETRAINED / "mobilenetv2_dm05_voc", PRETRAINED / "deeplabv3_257_mv_gpu.tflite"
SIZE = (257, 257)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs the published weights beside the project")
def test_labels_and_size_are_those_of_the_published_file(tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra `export`")
    options = {"preset": "mobilenetv2_dm05_coco_voc_trainaug", "model": {"output_stride": 8}}
    export(
        ExportConfig(
            checkpoint_path=str(WEIGHTS), export_path=str(tmp_path), format="tflite", crop_size=SIZE, **options
        )
    )
    file = tmp_path / "1" / tflite.FILE
    assert file.stat().st_size <= 1.05 * PUBLISHED.stat().st_size
    published = litert.Interpreter(str(PUBLISHED))
    published.allocate_tensors()
    labels = tflite.reader(str(tmp_path / "1"))
    for path in sorted(PRETRAINED.glob("image*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB").resize(SIZE))
        published.set_tensor(published.get_input_details()[0]["index"], image[None] / np.float32(127.5) - 1)
        published.invoke()
        logits = published.get_tensor(published.get_output_details()[0]["index"])
        assert np.mean(labels(image[None]) == np.argmax(logits, axis=-1)) > 0.999
