"""Writes a trained network as files that run without this project.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR

This writes DIR/1 (the next time DIR/2, and so on), a SavedModel for images of any size with folded batch norms. It
has three signatures:

    serving_default  images (B, H, W, 3) uint8 -> labels (B, H, W) int32
    bytes            image_bytes (B,), JPEG or PNG files -> label_bytes (B,), PNG files of class ids
    reference        ImageTensor -> SemanticPredictions, SemanticProbabilities, as the frozen graph of the original

Large photographs are shrunk inside the graph to the size of the training images, as --input_size says; labels get the
size of the photograph. model.json describes the network and its cost, dataset.json its classes and colours. The folder
also holds warm-up requests for TensorFlow Serving.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR --format=tflite --crop_size=257,257

This writes another format. frozen_graph is for programs written for the original. tflite, onnx and openvino take images
of one size, --crop_size or 513x513: images (1, H, W, 3) uint8 -> labels (1, H, W) int32.

The program runs every export after writing it and compares its labels with the labels of the network.
"""

from deeplab import cli
from deeplab.config.export import ExportConfig


def export(config):
    """Exports a checkpoint as `config`, an `ExportConfig`, says, and prints the path of the export."""
    from deeplab.programs import export as program

    return program.export(config)


def main():
    cli.main(export, ExportConfig)


if __name__ == "__main__":
    main()
