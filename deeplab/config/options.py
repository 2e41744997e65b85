"""Declares and checks the fields of configurations: default, help text and, where there are few, the legal values.

A configuration is a frozen dataclass. `cli.py` turns every field that `option` declares into a flag of the same name.
Nothing in `deeplab.config` imports TensorFlow, because importing TensorFlow would make `--help` take seconds.
"""

import dataclasses
import functools
import json
import math
import types
import typing

from deeplab.errors import UserError
from deeplab.files import nearest
from deeplab.files.formats import refuse_unknown

# A small file with more pixels may be an attack on the memory. The limit of builders, predict and the server, and
# Pillow's own limit; --max_image_pixels is another one.
MAX_IMAGE_PIXELS = 178_956_970
_MAX_INT = (1 << 63) - 1  # TensorFlow and NumPy have no larger integers
_MAX_ITEMS = 100_000  # of a sequence
_MAX_SHOWN = 200  # letters of a wrong value in a message


def option(default, help, choices=None, flag=True, word=None):
    """Declares a field of a configuration.

    Args:
      default: value when the flag is not given.
      help: one or two lines for `--help`.
      choices: the legal values, or None when every value of the field's type is legal.
      flag: False keeps the field off the command line, because the program sets it.
      word: a word that the flag takes instead of the items of a sequence or instead of true and false. The program has
        to replace the word. Until then a configuration of type `bool | str` holds it, and one of a sequence refuses it.
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "flag": flag, "word": word})


def nested(default_factory, hide=()):
    """Declares a field that is itself a configuration; its fields become flags, too, except the names in `hide`."""
    return dataclasses.field(default_factory=default_factory, metadata={"hide": tuple(hide)})


def overrides(config_class, hide=(), defaults=None):
    """Declares a field that collects {name: value} of the flags of `config_class` that the command line sets.

    Flags that are not given are absent from the collected dict, so that the program can tell them from given ones:
    eval takes them from the training's config.json. `--help` therefore shows "as trained" as their default. With
    `defaults` ({name: value}), `--help` shows these values and, for all other flags, the defaults of `config_class`.
    """
    metadata = {"overrides": config_class, "hide": tuple(hide), "defaults": defaults}
    return dataclasses.field(default_factory=dict, metadata=metadata)


def max_pixels_option():
    """Declares `max_image_pixels`, which has one meaning and one default in all programs that read image files."""
    return option(MAX_IMAGE_PIXELS, "Refuse images with more pixels, before they are decoded.")


def dry_run_option(activity):
    """Declares the switch of a program that checks everything, `activity`, and writes nothing."""
    return option(False, f"{activity} (data, weights, room on the disk, time), and write nothing.")


def field_kind(config_class, name):
    """Returns (item type, is a tuple, may be None) of a field, e.g. `tuple[int, ...] | None` -> (int, True, True).

    The type of a switch that also takes a word, `bool | str`, is bool.
    """
    hint = typing.get_type_hints(config_class)[name]
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    optional = type(None) in options
    kinds = [kind for kind in options if kind is not type(None)]
    tuples = [kind for kind in kinds if typing.get_origin(kind) is tuple]
    if tuples:
        return typing.get_args(tuples[0])[0], True, optional
    return kinds[0], False, optional


class Checked:
    """Base class of the configurations: converts lists to tuples, refuses wrong types and values not in `choices`."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if "help" in field.metadata:
                value = _checked(type(self), field, getattr(self, field.name))
                object.__setattr__(self, field.name, value)
        self.check()

    def check(self):
        """Raises a UserError when values make no sense together; subclasses override it."""


def _checked(config_class, field, value):
    kind, is_tuple, optional = field_kind(config_class, field.name)
    if value is None:
        require(optional, field.name, value, f"a value of type {kind.__name__}")
        return None
    if not is_tuple:
        value = _as_kind(field.name, value, kind, field.metadata["word"])
    elif isinstance(value, (list, tuple)):
        require(len(value) <= _MAX_ITEMS, field.name, value, f"at most {_MAX_ITEMS} items")
        value = tuple(_as_kind(field.name, item, kind) for item in value)
    else:
        raise UserError(f"{field.name}={_shown(value)}: expected a sequence of {kind.__name__}")
    choices = field.metadata["choices"]
    if choices:
        for item in value if is_tuple else (value,):
            expected = f"one of {', '.join(map(str, choices))}"
            require(item in choices, field.name, item, expected + nearest.hint(str(item), map(str, choices)))
    return value


def _as_kind(name, value, kind, word=None):
    if word is not None and value == word:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _MAX_INT else math.inf  # float() raises an error for larger ones
    elif kind in (int, float) and hasattr(value, "item"):  # a NumPy scalar
        value = kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={_shown(value)}: expected {kind.__name__}" + (f" or {word}" if word else ""))
    require(kind is not float or math.isfinite(value), name, value, "a finite number")
    require(kind is not int or abs(value) <= _MAX_INT, name, value, "a number of 64 bits")
    return value


def require(condition, name, value, expected):
    """Raises a UserError that names the option, its value and what is expected, unless `condition` holds."""
    if not condition:
        raise UserError(f"{name}={_shown(value)}: expected {expected}")


def _shown(value):
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} and so on"


def require_pair(name, value):
    """Raises a UserError unless `value` is None or two positive numbers (height, width)."""
    require(value is None or (len(value) == 2 and min(value) > 0), name, value, "two positive numbers: height, width")


def to_json(config):
    """Returns the text of a JSON object that holds the configuration; parsed, it goes back into `from_json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(config_class, values, where):
    """Builds a configuration from the dict `values`.

    Raises:
      UserError: `values` is no dict, or holds unknown or illegal options; the message names `where`, the file's path.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: holds no options; it was edited by hand")
    refuse_unknown(where, "option", values, {field.name for field in dataclasses.fields(config_class)})
    try:
        return config_class(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def changed_options(config):
    """Returns {option: (value, default)} of all options whose value is another one, those of nested ones included."""
    return _changed(config, type(config))


def _changed(config, defaults):
    """As `changed_options`, against the class `defaults` or, for nested configurations, an instance with defaults."""
    changed = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if "hide" in field.metadata and "overrides" not in field.metadata:
            changed.update(_changed(value, field.default_factory()))
        elif "help" in field.metadata:
            default = field.default if isinstance(defaults, type) else getattr(defaults, field.name)
            changed.update({field.name: (value, default)} if value != default else {})
    return changed


def differences(first, second):
    """Returns {field: (value in first, value in second)} for two configurations of one class."""
    names = [field.name for field in dataclasses.fields(first)]
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def require_count(name, value):
    """Raises a UserError unless the option `name` is not given (None) or at least 1."""
    require(value is None or value > 0, name, value, "at least 1")


def check_given(config, *names):
    """Raises a UserError if one of these options of a configuration has no value."""
    for name in names:
        require(getattr(config, name), name, getattr(config, name), f"a value: --{name}=...")


def check_scales(name, scales):
    """Raises a UserError unless the option `name` holds positive numbers, at least one."""
    require(len(scales) > 0 and min(scales) > 0, name, scales, "at least one scale, all positive")


@dataclasses.dataclass(frozen=True)
class GpuConfig(Checked):
    """GPUs"""

    tf32: bool = option(
        False,
        "Let GPUs of the Ampere generation and later round the factors of float32 convolutions to TF32, which has 10 "
        "bits in place of 23. This is faster, but only 99.5 to 99.9 % of the labels are those of full float32. Other "
        "devices compute the same with and without it. Evaluations while training never use TF32, so that their "
        "scores compare with those of eval.",
    )
    gpu_memory_growth: bool = option(
        False,
        "Take memory of the GPUs as it is needed, so that other programs can use the rest. False: take nearly all of "
        "it at the start, which leaves fewer gaps between what is in use. Without a GPU it changes nothing.",
    )


def gpu_options(tf32=False):
    """Declares the field `gpu` of a configuration.

    Args:
      tf32: whether the program uses TF32 unless the user says otherwise: where numbers are compared it should not.
    """
    return nested(functools.partial(GpuConfig, tf32=tf32))
