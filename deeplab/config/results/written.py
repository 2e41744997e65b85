"""Options of the files that are written for an image: ids in PNG files, and annotations for labelling tools."""

import dataclasses

from deeplab.config.options import Checked, option, require

PNG = "png"
ANNOTATIONS = ("coco", "labelme", "cvat", "label-studio", "yolo")


@dataclasses.dataclass(frozen=True)
class IdsConfig(Checked):
    """Ids in PNG files"""

    class_ids: bool = option(
        False,
        "Write the class ids 0, 1 and so on. False: write the ids that the classes have in the label files that the "
        "network learned from, where dataset.json knows them (source_ids).",
    )


@dataclasses.dataclass(frozen=True)
class WrittenConfig(IdsConfig):
    """Files that are written for an image"""

    write: tuple[str, ...] = option(
        (PNG,),
        "What to write for an image, several with commas: png for NAME.png and NAME_overlay.png; coco, labelme, cvat, "
        "label-studio and yolo for polygons that these tools open, in a folder of that name in the output folder.",
        choices=(PNG, *ANNOTATIONS),
    )
    polygon_tolerance: float = option(
        1.0,
        "Annotations: leave out points of outlines that are less than half of so many pixels away from the others; "
        "programs that draw polygons with whole pixels add the other half. 0: only points on a straight line.",
    )

    def check(self):
        require(len(self.write) > 0, "write", self.write, "at least one of png and the annotation formats")
        require(0 <= self.polygon_tolerance <= 100, "polygon_tolerance", self.polygon_tolerance, "0 to 100 pixels")

    @property
    def annotations(self):
        """The formats of annotations to write, each once."""
        return tuple(dict.fromkeys(name for name in self.write if name != PNG))
