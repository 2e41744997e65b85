"""What a reader of annotations leaves of an image: the shapes on it, from which a worker process draws the label."""

import dataclasses

from deeplab.data.annotations import drawing
from deeplab.errors import UserError

VOID = -1  # the label of shapes whose pixels do not count; the builder replaces it by its ignore label


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
    """The label of one image as shapes. It stands in place of the path of a label file in a `listing.Pair`.

    Attributes:
      source: the file, and what in it, for messages.
      shapes: `drawing.Shape`s in the order of the file.
      size: (height, width) of the image as the annotation says; None: it does not say.
      relative: whether coordinates are fractions of the image, 0 to 1.
      on_top: which of two overlapping shapes is seen: the later one of the "file", or the "smaller" one.
    """

    source: str
    shapes: tuple
    size: tuple | None = None
    relative: bool = False
    on_top: str = "file"

    def __str__(self):
        return self.source

    def draw(self, shown, ignore_label):
        """Draws the label of an image.

        Args:
          shown: (height, width) of the image as viewers show it.
          ignore_label: the label of shapes that are `VOID`.

        Returns:
          `drawing.Drawn`. Its labels have the size that the annotation names, which may be that of the image before
          EXIF turns it; pixels without a shape have label 0.

        Raises:
          UserError: the annotation is for an image of another size, or a shape of it is damaged.
        """
        size = self.size or shown
        if size not in (shown, shown[::-1]):
            (height, width), (shown_height, shown_width) = size, shown
            raise UserError(
                f"the annotation is of an image of {width}x{height}, the image has {shown_width}x{shown_height} (width "
                "x height); put the image beside it that was annotated"
            )
        shapes = [shape.scaled(size) for shape in self.shapes] if self.relative else self.shapes
        return drawing.draw(shapes, size, {VOID: ignore_label}, self.on_top)
