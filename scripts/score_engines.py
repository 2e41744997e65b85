"""Scores exports of any format on a data set, each in its own engine: mIoU and images per second.

    python scripts/score_engines.py --dataset_dir=SHARDS --split=val EXPORT/1 EXPORT/2

Formats for images of one size (tflite, onnx, openvino) get every image padded at the bottom and right to that size, as
`python -m deeplab.eval --eval_crop_size` pads it; no image may be larger. Images per second count the engine alone,
without decoding and counting. `python -m deeplab.eval --saved_model` scores a SavedModel with more detail.
"""

import argparse
import os
import sys
import time

import numpy as np

from deeplab.data import catalog, source
from deeplab.errors import UserError
from deeplab.evaluation import scoring
from deeplab.exporting.formats import FORMATS
from deeplab.exporting.model_card import DEFAULT_SIZE
from deeplab.inference import export_folder
from deeplab.model.backbones import BACKBONES

_FORMAT_OF_FILE = {
    "saved_model.pb": "saved_model",
    "frozen_inference_graph.pb": "frozen_graph",
    "model.tflite": "tflite",
    "model.onnx": "onnx",
    "model.xml": "openvino",
}


class Timed:
    """Segments single images with an export, and measures how long its engine takes.

    Args:
      folder: DIR/VERSION, which export has written.

    Attributes:
      seconds: of the engine, summed over the images.
      images: how many it has segmented.
    """

    def __init__(self, folder):
        self.kind, self.folder, self.card = format_of(folder), folder, export_folder.read_card(folder)
        self.size = None if self.kind in ("saved_model", "frozen_graph") else _size(self.card)
        self.seconds, self.images = 0.0, 0
        self._read = FORMATS[self.kind].reader(folder)
        # The files take whole numbers: 128 in the place of MobileNet's 127.5 changes next to nothing.
        self._pad_rgb = np.round(BACKBONES[self.card["config"]["model_variant"]].pad_rgb).astype(np.uint8)
        if self.size:  # the first run of an engine takes longer
            self._read(np.zeros((1, *self.size, 3), np.uint8))

    def __call__(self, image):
        """Returns the labels (H, W) of an image (H, W, 3) uint8; raises a UserError if the file takes no such image."""
        height, width = image.shape[:2]
        padded = self._padded(image)
        start = time.perf_counter()
        labels = np.asarray(self._read(padded[None]))[0]
        self.seconds, self.images = self.seconds + time.perf_counter() - start, self.images + 1
        return labels[:height, :width].astype(np.int32)

    def _padded(self, image):
        if self.size is None:
            return image
        if any(side > most for side, most in zip(image.shape, self.size, strict=False)):
            raise UserError(
                f"{self.folder} takes images up to {self.size[0]}x{self.size[1]}, the split has one of "
                f"{image.shape[0]}x{image.shape[1]}; export with --crop_size that holds all images"
            )
        whole = np.tile(self._pad_rgb, (*self.size, 1))
        whole[: image.shape[0], : image.shape[1]] = image
        return whole


def format_of(folder):
    """Returns the --format of an export by the file that it holds."""
    for file, kind in _FORMAT_OF_FILE.items():
        if os.path.exists(os.path.join(folder, file)):
            return kind
    raise UserError(f"{folder}: no export there; name DIR/VERSION, with one of {', '.join(_FORMAT_OF_FILE)}")


def _size(card):
    """Returns the (height, width) of the images of a file for one size, whose model.json is `card`."""
    return tuple(card["config"]["crop_size"] or card["crop_size"] or DEFAULT_SIZE)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="EXPORT/VERSION")
    parser.add_argument("--dataset_dir", required=True, help="TFRecord shards")
    parser.add_argument("--split", default="val")
    options = parser.parse_args(argv)
    split = source.open_split(options.dataset_dir, options.split)
    print(f"{'mIoU':>8} {'images/s':>9}  {split.name} of {split.dataset.name}, {len(split)} images")
    for folder in options.folders:
        segment = Timed(folder)
        predicted = catalog.Dataset("export", len(segment.card["classes"]), class_names=segment.card["classes"])
        catalog.require_same_classes(predicted, split.dataset, folder, options.dataset_dir)
        scores = scoring.score_each(split, segment)
        speed = segment.images / segment.seconds
        print(f"{scores.seen.mean_iou:8.4f} {speed:9.1f}  {folder} ({segment.kind})", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
