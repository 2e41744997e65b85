"""Writes a trained network as files that run without this project.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR

makes DIR/1 (then DIR/2, ...), a SavedModel for images of any size, batch norms folded. Signatures: `serving_default`,
images (B, H, W, 3) uint8 -> labels (B, H, W) int32; `bytes`, JPEG or PNG files image_bytes (B,) -> PNG files of class
ids label_bytes (B,); `reference`, ImageTensor -> SemanticPredictions, SemanticProbabilities, as the original's frozen
graph. Beside them lie model.json and dataset.json (what it is, what it costs, its classes and colours) and warm-up
requests for TensorFlow Serving.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR --format=tflite --crop_size=257,257

Other formats: frozen_graph, for programs written for the original; tflite, onnx and openvino, for images of one size
(--crop_size, else 513x513): images (1, H, W, 3) uint8 -> labels (1, H, W) int32. Each is run once it is written, and
its labels are compared with those of the network.
"""

from deeplab import cli
from deeplab.config.export import ExportConfig


def export(config):
    """Exports one checkpoint as `config`, an `ExportConfig`, says; prints where it is."""
    from deeplab.programs import export as program

    return program.export(config)


def main():
    cli.main(export, ExportConfig)


if __name__ == "__main__":
    main()
