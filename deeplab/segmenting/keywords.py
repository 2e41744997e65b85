"""Configurations from keyword arguments, for functions whose keywords are named as the flags of a program."""

import dataclasses
import os

from deeplab.cli import all_fields
from deeplab.config.options import field_kind
from deeplab.errors import UserError
from deeplab.files import nearest


def configuration(config_class, given, function, program, hide=(), **fixed):
    """Returns the `config_class` that keyword arguments named as the flags describe, after the same checks.

    Args:
      config_class: the configuration.
      given: {flag: value} with the types of the fields; lists may stand for tuples, paths for texts, and a sequence for
        a text with commas.
      function: what the user called, for messages.
      program: the program whose flags these are.
      hide: names of flags that the function does not take.
      fixed: values of flags that the function sets itself.

    Raises:
      UserError: a keyword is unknown or retired, or the configuration refuses a value.
    """
    kinds = {field.name: field_kind(owner, field.name) for field, owner, _optional in all_fields(config_class)}
    known = [name for name in kinds if name not in hide]
    for name in given:
        if name in getattr(config_class, "RETIRED", {}):
            raise UserError(f"{name} does not exist any more: {config_class.RETIRED[name]}")
        if name not in known:
            hint = nearest.hint(name, known) or f"; python -m deeplab.{program} --help lists them"
            raise UserError(f"{name} is no keyword of {function}{hint}")
    return _of_values(config_class, {name: _plain(value, *kinds[name]) for name, value in {**given, **fixed}.items()})


def _plain(value, kind, is_tuple, _optional):
    """Returns a keyword argument as the flag would be read: paths as texts, sequences for a text with commas."""
    if kind is str and not is_tuple:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, (tuple, list)):
            return ",".join(map(str, value))
    if kind is str and isinstance(value, (tuple, list)):
        return tuple(os.fspath(item) if isinstance(item, os.PathLike) else item for item in value)
    return value


def _of_values(config_class, values):
    """Returns the `config_class` of {flag: value}; other flags have their defaults."""
    fields = {}
    for field in dataclasses.fields(config_class):
        if "overrides" in field.metadata:
            inside = all_fields(field.metadata["overrides"])
            names = [inner.name for inner, _owner, _optional in inside if inner.name not in field.metadata["hide"]]
            fields[field.name] = {name: values[name] for name in names if name in values}
        elif "hide" in field.metadata:
            default = field.default_factory()
            names = {inner.name for inner, _owner, _optional in all_fields(type(default))}
            fields[field.name] = dataclasses.replace(default, **{k: v for k, v in values.items() if k in names})
        elif field.name in values:
            fields[field.name] = values[field.name]
    return config_class(**fields)
