"""`export --dry_run`: says what would be written, once the network is restored and its format can be written."""

from deeplab.exporting.formats import FORMATS, trial_images
from deeplab.files import locks, room
from deeplab.inference import export_folder
from deeplab.model.cost import count_parameters

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "dynamic": 1, "int8": 1}  # of a weight


def tell(network):
    """Prints where the export of a `NetworkToExport` would go and how large it would be; writes nothing.

    Raises:
      UserError: a package is missing, the images of --dataset_dir cannot be read, another process writes to the folder,
        or its disk has too little room.
    """
    config = network.config
    FORMATS[config.format].require(config)
    if config.dataset_dir:
        next(trial_images.of_size(network, 1))
    kind = config.quantize if config.quantize != "none" else config.precision
    size = count_parameters(network.loaded.model) * _BYTES[kind]
    with locks.hold(config.export_path, "export_path"):
        path = export_folder.following(config.export_path)
    sizes = f"images of {'x'.join(map(str, network.size))}" if config.takes_one_size else "images of any size"
    print(f"Would write {path}: {config.format}, {kind}, {sizes}")
    print(f"Disk: {room.require(config.export_path, 'export_path', size)}")
    print("Nothing was written; the same command without --dry_run exports", flush=True)
