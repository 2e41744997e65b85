"""Segments one picture with an exported SavedModel. Needs TensorFlow, NumPy and Pillow; knows nothing of this project.

python scripts/segment_with_saved_model.py SAVED_MODEL PICTURE OUTPUT.png
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps


def main(saved_model, picture, output):
    """Writes the labels of `picture` to `output` as a palette PNG and prints how much of it each class covers."""
    image = np.asarray(ImageOps.exif_transpose(Image.open(picture)).convert("RGB"))  # phones store photographs turned
    tf.config.experimental.enable_tensor_float_32_execution(False)  # GPUs would round, and some labels differ
    segment = tf.saved_model.load(saved_model).signatures["serving_default"]
    labels = segment(images=tf.constant(image[None]))["labels"][0].numpy()  # (H, W) int32

    names, colors = classes(saved_model)
    drawing = Image.fromarray(labels.astype(np.uint8))
    drawing.putpalette(colors.ravel().tolist())
    drawing.save(output)
    print(f"{picture}: {image.shape[1]} x {image.shape[0]} pixels; labels written to {output}")
    for class_id, pixels in zip(*np.unique(labels, return_counts=True), strict=True):
        print(f"  {names[class_id] if names else class_id}: {100 * pixels / labels.size:.1f} %")
    assert not any(name.split(".")[0] == "deeplab" for name in sys.modules)  # this is the point of an export


def classes(saved_model):
    """Returns names and (256, 3) colours of the classes from the dataset.json that lies beside an export's graph."""
    dataset = json.loads((pathlib.Path(saved_model) / "dataset.json").read_text("utf-8"))
    colors = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    for class_id, color in enumerate(dataset["colors"]):
        colors[class_id] = color
    return dataset["class_names"], colors


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
