"""The kinds of files that export writes. Each has a module with three functions.

`require(config)` raises a UserError if a package is missing that an export with these options needs.
`write(folder, network)` writes a `common.NetworkToExport` into a folder.
`reader(folder)` opens what was written with the engine that the format is for. It returns a function images
(1, H, W, 3) uint8 -> labels (1, H, W), which raises whatever that engine raises.

A SavedModel and a frozen graph take images of any size, the other formats take images of one size.
"""

from types import ModuleType

from deeplab.exporting.formats import frozen_graph, onnx, openvino, saved_model, tflite

FORMATS: dict[str, ModuleType] = {
    "saved_model": saved_model,
    "frozen_graph": frozen_graph,
    "tflite": tflite,
    "onnx": onnx,
    "openvino": openvino,
}
