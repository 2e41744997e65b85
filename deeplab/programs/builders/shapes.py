"""Draws a data set of textured scenes and builds its shards, so that everything can be tried without downloading.

    deeplab build shapes
    deeplab train --recipe=quickstart

There are seven classes: sky and ground, and on them balls, boxes, tents, poles with wires, and bushes, which hide each
other. Everything has a random hue, so that colour tells nothing about the class, but shape, texture and shading do.
The shards go to --output_dir, where the recipe looks for them unless told otherwise. The drawings go to its folder
drawings: images/*.jpg, labels/*.png (class indices), train.txt, val.txt and classes.json.
"""

import dataclasses
import functools
import os

from deeplab import cli
from deeplab.config.builders import BuildConfig
from deeplab.config.options import Checked, nested, option, require
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.programs.builders import folder

OUTPUT_DIR = "quickstart/shards"  # where the recipe quickstart looks for them
DRAWINGS = "drawings"  # folder in output_dir


@dataclasses.dataclass(frozen=True)
class SceneConfig(Checked):
    """What to draw"""

    train_images: int = option(600, "Number of images to train on.")
    val_images: int = option(60, "Number of images to evaluate on.")
    size: tuple[int, ...] = option((128, 176), "Height and width of the images in pixels.")
    seed: int = option(0, "Same seed, same drawings.")

    def check(self):
        require(len(self.size) == 2 and min(self.size) >= 32, "size", self.size, "height and width of at least 32")
        for name in ("train_images", "val_images"):
            require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        require(self.seed >= 0, "seed", self.seed, "0 or more")


@dataclasses.dataclass(frozen=True)
class DrawConfig(SceneConfig):
    """What to draw, and where"""

    output_dir: str | None = option(None, "Folder for images, labels and lists.")

    def check(self):
        super().check()
        require(self.output_dir is not None, "output_dir", None, "a folder: --output_dir=DIR")


@dataclasses.dataclass(frozen=True)
class ShapesConfig(Checked):
    """Drawings and their shards"""

    scenes: SceneConfig = nested(SceneConfig)
    shards: BuildConfig = nested(
        functools.partial(BuildConfig, output_dir=OUTPUT_DIR), hide=("append", "skip_bad", "max_image_pixels")
    )


def draw(output_dir, config):
    """Writes the drawings of a `SceneConfig` into a folder; image i depends only on (seed, i)."""
    from deeplab.programs.builders import scenes

    counts = {"train": config.train_images, "val": config.val_images}
    scenes.write(output_dir, counts, config.size, config.seed)


def draw_dataset(config):
    """Writes the drawings of a `DrawConfig`, without shards."""
    draw(config.output_dir, config)


def build_shapes(config):
    """Draws the scenes of a `ShapesConfig` and builds their shards.

    Raises:
      UserError: output_dir has a data set already and config does not say overwrite; or as `builder.build`.
    """
    shards = config.shards
    if paths.exists(os.path.join(shards.output_dir, "dataset.json")) and not shards.overwrite:
        raise UserError(
            f"--output_dir={shards.output_dir}: has a data set already; --overwrite replaces it, or name another folder"
        )
    drawings = os.path.join(shards.output_dir, DRAWINGS)
    draw(drawings, config.scenes)
    folder.build_folder_data(folder.FolderConfig(folder=drawings, name="shapes", **dataclasses.asdict(shards)))


def main():
    cli.main(build_shapes, ShapesConfig)


def draw_main():
    cli.main(draw_dataset, DrawConfig, uses_tensorflow=False)
