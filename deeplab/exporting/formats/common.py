"""What all formats share: what they write, and the import of the packages that some of them need."""

import importlib
from typing import NamedTuple

from deeplab.config.export import ExportConfig
from deeplab.errors import not_installed
from deeplab.inference.input_size import InputSize
from deeplab.inference.predictor import Predictor
from deeplab.inference.trained import Trained


class NetworkToExport(NamedTuple):
    """A network that is ready to be written, and what is known about it.

    Attributes:
      predictor: the path from images to labels, usually around the folded network.
      config: the options of export.
      loaded: the training that the network comes from.
      size: (height, width) of the images, for formats that take images of one size.
      input_size: which images the network sees at another size than their own.
    """

    predictor: Predictor
    config: ExportConfig
    loaded: Trained
    size: tuple[int, int]
    input_size: InputSize


def need(package, purpose):
    """Returns the imported module `package`.

    Raises:
      UserError: the module is missing; names the package to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise not_installed(f"{purpose} needs", error, [package.partition(".")[0].replace("_", "-")]) from None
