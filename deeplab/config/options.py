"""What a configuration field is: a default, a help text and, where there are few, the legal values.

A configuration is a frozen dataclass; `cli.py` makes one flag of every field declared here.
Nothing in `deeplab.config` imports TensorFlow, so that `--help` is quick.
"""

import dataclasses
import json
import types
import typing

from deeplab.errors import UserError


def option(default, help, choices=None, flag=True):
    """Declares a field of a configuration.

    Args:
      default: its value when the flag is not given.
      help: one line for `--help`.
      choices: the legal values, or None for any.
      flag: False keeps the field off the command line (it is set from somewhere else).
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "flag": flag})


def nested(default_factory, hide=()):
    """Declares a field that is itself a configuration; its fields become flags too, but for those in `hide`."""
    return dataclasses.field(default_factory=default_factory, metadata={"hide": tuple(hide)})


def overrides(of, hide=(), defaults=None):
    """Declares a field that collects the flags of the configuration class `of` that were given.

    The field holds {name: value} of those set on the command line. The others default to "as it was trained", or,
    where `defaults` is given, to `of`'s own defaults but for those in `defaults` ({name: value}).
    """
    metadata = {"overrides": of, "hide": tuple(hide), "defaults": defaults}
    return dataclasses.field(default_factory=dict, metadata=metadata)


def field_kind(config_class, name):
    """Returns (item type, is a tuple, may be None) of a field, e.g. `tuple[int, ...] | None` -> (int, True, True)."""
    hint = typing.get_type_hints(config_class)[name]
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    optional = type(None) in options
    kinds = [kind for kind in options if kind is not type(None)]
    tuples = [kind for kind in kinds if typing.get_origin(kind) is tuple]
    if tuples:
        return typing.get_args(tuples[0])[0], True, optional
    return kinds[0], False, optional


class Checked:
    """Base of the configurations: lists become tuples, and values outside `choices` or of another type are refused."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if "help" in field.metadata:
                value = _checked(type(self), field, getattr(self, field.name))
                object.__setattr__(self, field.name, value)
        self.check()

    def check(self):
        """Refuses combinations that make no sense, with a UserError; subclasses say which."""


def _checked(config_class, field, value):
    kind, is_tuple, optional = field_kind(config_class, field.name)
    if value is None:
        require(optional, field.name, value, f"a value of type {kind.__name__}")
        return None
    if not is_tuple:
        value = _as_kind(field.name, value, kind)
    elif isinstance(value, (list, tuple)):
        value = tuple(_as_kind(field.name, item, kind) for item in value)
    else:
        raise UserError(f"{field.name}={value!r}: expected a sequence of {kind.__name__}")
    choices = field.metadata["choices"]
    if choices:
        for item in value if is_tuple else (value,):
            require(item in choices, field.name, item, f"one of {', '.join(map(str, choices))}")
    return value


def _as_kind(name, value, kind):
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float) and hasattr(value, "item"):  # a NumPy scalar
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={value!r}: expected {kind.__name__}")
    return value


def require(condition, name, value, expected):
    """Raises a UserError that names the option, its value and what is expected, unless `condition` holds."""
    if not condition:
        raise UserError(f"{name}={value!r}: expected {expected}")


def to_json(config):
    """Returns the configuration as a JSON object (a str), readable by `from_json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(config_class, values, where):
    """Builds a configuration from the dict `values` that was read from the file `where`."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: holds no options; it was edited by hand")
    known = {field.name for field in dataclasses.fields(config_class)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"{where}: unknown option {unknown[0]!r}; it was written by another version or edited by hand")
    try:
        return config_class(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def differences(first, second):
    """Returns {field: (value in first, value in second)} for two configurations of one class."""
    names = [field.name for field in dataclasses.fields(first)]
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
