"""`deeplab.Segmenter`: one object that segments images, whatever the network is stored as."""

import contextlib
import dataclasses
import os
import threading
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.config.inference import PredictConfig
from deeplab.errors import UserError, lack_of_memory
from deeplab.inference import batch_size, tiles
from deeplab.pictures.bands import shown
from deeplab.segmenting import engines, keywords, opening, places, reading, result

_NOT_HERE = (  # options of predict that are about its files, or that the path says
    *("input", "output", "overwrite", "save_probabilities", "save_frames", "checkpoint_dir", "saved_model"),
    *("write", "polygon_tolerance"),
)
_SWITCH = threading.Lock()  # on GPUs, where TF32 holds for all threads


@dataclasses.dataclass(frozen=True)
class SegmenterConfig(PredictConfig):
    """Options of predict without its files"""

    def check(self):
        self.check_network()


class Segmenter:
    """Segments images with a trained network.

        segmenter = deeplab.Segmenter.load("LOGDIR")
        result = segmenter("photo.jpg")
        result.labels, result.share, result.overlay().save("overlay.jpg")

    Several threads may call one object at the same time. Networks that run in TensorFlow or ONNX Runtime on a CPU then
    compute side by side; TFLite, OpenVINO and GPUs take one call after the other.

    Attributes:
      path: what was loaded, e.g. EXPORT/3 of EXPORT.
      kind: "checkpoint", or the format of an export.
      dataset: a `catalog.Dataset`, which has names and colours of the classes.
      class_names: one name for each class id.
    """

    def __init__(self, place: places.Place, opened: opening.Opened, config: PredictConfig):
        self.path, self.kind, self.dataset = place.path, place.kind, opened.dataset
        self.class_names = result.names(opened.dataset)
        self._opened, self._config = opened, config

    @classmethod
    def load(cls, path: str | os.PathLike, **options: Any) -> "Segmenter":
        """Opens a network.

        Args:
          path: a train_logdir or a checkpoint of it; what export wrote, in any format (DIR, DIR/VERSION or the file in
            it); a checkpoint or archive of the original; or the name of a published model.
          options: flags of predict with their Python types, e.g. eval_scales=(0.5, 1.0, 1.75), add_flipped_images=True,
            input_size="513,513", tile_size=(513, 513), checkpoint="best", batch_size=4, and for a checkpoint of the
            original what builds its network, e.g. model_variant="xception_65", output_stride=16. An export brings all
            of this with it.

        Returns:
          A `Segmenter`, which gives the labels that predict gives.

        Raises:
          UserError: there is no network of that name, or an option is unknown or has no effect.
        """
        place = places.find(path)
        source = "checkpoint_dir" if place.kind == places.CHECKPOINT else "saved_model"
        config = keywords.configuration(
            SegmenterConfig, options, "Segmenter.load", "predict", _NOT_HERE, **{source: place.path}
        )
        try:
            return cls(place, opening.as_written(_open(place, config), config.written), config)
        except tf.errors.UnimplementedError as error:
            raise places.unknown_scheme(place.path, error) from None

    def __call__(self, images: Any) -> Any:
        """Segments one image or several.

        Args:
          images: a path (also gs://), the bytes of an image file, a PIL image, an array or tensor of uint8, RGB
            (H, W, 3) or (B, H, W, 3) or grey (H, W), or a list of these. Files and PIL images are turned upright. Of a
            network for other channels or a range of values, arrays (H, W, C) or (B, H, W, C) with the values of files.

        Returns:
          A `Result`; for a list or (B, H, W, 3) a list of them.

        Raises:
          UserError: something is not such an image, or the memory does not suffice.
        """
        pictures, several = reading.read(images, self.dataset, self._config.max_image_pixels)
        results = self._segment(pictures)
        return results if several else results[0]

    def __repr__(self):
        return f"Segmenter({self.path!r}: {self.kind}, {self._opened.network}, {len(self.class_names)} classes)"

    def _segment(self, pictures):
        """Returns a list with the `Result` of each `Picture`; images that may share a batch do."""
        batched, together = self._opened.batched, {}
        for place, (name, pixels) in enumerate(pictures):
            self._opened.notice(name, pixels.shape[:2])
            key = batched.key(*pixels.shape[:2]) if batched else pixels.shape[:2]
            together.setdefault(key, []).append(place)
        results = [None] * len(pictures)
        for alike in together.values():
            most = batch_size.images_at_once(self._config.batch_size, *pictures[alike[0]].pixels.shape[:2])
            most = most if batched else 1
            for start in range(0, len(alike), most):
                places_of_batch = alike[start : start + most]
                batch = [pictures[place] for place in places_of_batch]
                for place, labels in zip(places_of_batch, self._labels(batch), strict=True):
                    results[place] = self._result(pictures[place], labels)
        return results

    def _labels(self, batch):
        """Returns a list with the labels (H, W) of each of the `Picture`s of a batch."""
        pixels = [picture.pixels for picture in batch]
        with self._computing(batch[0].name):
            return [self._opened.labels(pixels[0])] if len(pixels) == 1 else self._opened.batched.start(pixels)()

    def _result(self, picture, labels):
        def probabilities():
            if self._opened.with_probabilities is None:
                raise UserError(
                    f"{self.path}: this {self.kind} gives labels alone; for probabilities, load the training, or a "
                    "SavedModel or frozen graph that deeplab.export wrote"
                )
            with self._computing(picture.name):
                return self._opened.with_probabilities(picture.pixels)[1]

        return result.Result(shown.rgb(picture.pixels), np.asarray(labels, np.int32), self.dataset, probabilities)

    @contextlib.contextmanager
    def _computing(self, name):
        """Computes as the options say inside; tells a lack of memory in one line that names the image."""
        try:
            with _tf32(self._config.gpu.tf32):
                yield
        except Exception as error:
            lack = lack_of_memory(error)
            if not lack:
                raise
            is_checkpoint = self.kind == places.CHECKPOINT
            way_out = tiles.less_memory(self._config.tiles, self._config.passes.eval_scales)
            way_out = way_out if is_checkpoint else tiles.LESS_THAN_AN_EXPORT
            raise UserError(f"{name}: needs more memory than there is; {way_out} ({lack})") from None


def _open(place, config):
    """Returns the `Opened` of a `Place`."""

    @devices.as_configured
    def opened(config):
        if place.kind == places.CHECKPOINT:
            return opening.open_checkpoint(config)
        if place.kind == places.SAVED_MODEL:
            return opening.open_export(config)
        return engines.open_file(place.kind, place.path, config)

    return opened(config)


@contextlib.contextmanager
def _tf32(enabled):
    """As `devices.tf32`; while one thread computes on a GPU, no other one changes the switch."""
    if not tf.config.list_physical_devices("GPU"):
        yield
        return
    with _SWITCH, devices.tf32(enabled):
        yield
