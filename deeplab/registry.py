"""Tells Keras the names of our classes without importing them, so that Keras reads our files whatever comes first.

`keras.models.load_model` looks for `deeplab>Conv` and the like among the custom objects of Keras. Our classes register
there when their modules are imported, which takes seconds and TensorFlow, and `import deeplab` does neither. So once
Keras is imported, be it before or after `import deeplab`, stand-ins are registered, which import the classes when Keras
needs one of them.
"""

import importlib
import importlib.util
import sys

PREFIX = "deeplab>"
WHERE = "deeplab.keras"  # imports every module in which one of these classes registers
LAYERS = (
    *("Activation", "AveragePooling", "BatchNorm", "Conv", "DepthwiseConv", "DropPath", "Dropout", "Folded"),
    *("MaxPooling", "Normalize", "ResizeLike", "ResizeToScale", "SeparableConv", "Sum"),
)
NAMES = (*LAYERS, "DeepLab", "_FanIn", "CrossEntropy", "Dice", "Focal", "Lovasz", "MeanIoU", "Schedule")


def watch():
    """Registers the stand-ins with Keras: at once if it is imported already, else as soon as it is."""
    if "keras" in sys.modules:
        _register(sys.modules["keras"])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Lets others find Keras, and has `_register` called when its import has ended."""

    _is_searching = False

    def find_spec(self, name, path=None, target=None):
        if name != "keras" or self._is_searching:
            return None
        self._is_searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_searching = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self._extend(spec.loader)
        return spec

    def _extend(self, loader):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register(module)

        loader.exec_module = exec_module


def _register(keras):
    saving = getattr(keras, "saving", None)
    if not hasattr(saving, "get_custom_objects"):  # a stranger's module of this name, or Keras while it is imported
        return
    known = saving.get_custom_objects()
    for name in NAMES:
        if PREFIX + name not in known:
            known[PREFIX + name] = _stand_in(name, saving)


def _stand_in(name, saving):
    """Returns a class whose `from_config` imports the class of this name, and leaves the work to it."""

    def from_config(config):
        importlib.import_module(WHERE)
        found = saving.get_custom_objects()[PREFIX + name]
        if found is stand_in:
            raise TypeError(f"{PREFIX}{name} belongs to Keras 3, and TensorFlow uses another Keras in this process")
        return found.from_config(config)

    stand_in = type(name, (), {"from_config": staticmethod(from_config), "__module__": WHERE})
    return stand_in
