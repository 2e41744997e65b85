"""Reads a frozen configuration from the command line: every field of its class becomes an absl flag of the same name.

    if __name__ == "__main__":
        cli.main(train, TrainConfig)

Flags are defined when `main` runs, so that importing a program defines none. Scripts written for the reference keep
working: a list is written with commas (`--train_crop_size=513,513`) or by repeating the flag (`--atrous_rates=6
--atrous_rates=12`).
"""

import dataclasses
import sys
import textwrap

from absl import (
    flags,
    logging,  # noqa: F401  defines --logtostderr and other flags that commands for the reference use
)

from deeplab.config import recipes
from deeplab.config.options import field_kind
from deeplab.errors import EXIT_BAD_INPUT, UserError, lack_of_memory, one_line
from deeplab.files import escaping, help_pages, nearest, quiet


class _ItemsParser(flags.ArgumentParser):
    """Parses a text such as "6,12,18" into a tuple of `kind`. The empty text is the empty tuple, `word` itself."""

    def __init__(self, kind, word=None):
        self.kind, self.word = kind, word
        self.syntactic_help = f"comma separated {kind.__name__}"

    def parse(self, argument):
        if not isinstance(argument, str):
            return tuple(argument)
        if argument == self.word:
            return argument
        return tuple(self.kind(item) for item in argument.split(",") if item.strip())

    def flag_type(self):
        return f"list of {self.kind.__name__}"


class _SwitchParser(flags.BooleanParser):
    """Parses what absl takes for true and false, and `word` as itself."""

    def __init__(self, word):
        super().__init__()
        self.word = word

    def parse(self, argument):
        if argument == self.word:
            return argument
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError(f"expected true, false or {self.word}") from None


def main(run, config_class, argv=None, uses_tensorflow=True):
    """Reads the command line into a `config_class`, calls `run(config)` and exits with the result as exit code.

    Wrong flags, a `UserError` of `run`, files that cannot be read or written, and a lack of memory print one line and
    exit with code 2.
    `--help` prints the docstring of the module of `run`, then all flags; it does not import TensorFlow.
    """
    argv = sys.argv if argv is None else argv
    if any(argument in help_pages.WORDS for argument in argv[1:]):
        help_pages.show(help_text(config_class, sys.modules[run.__module__].__doc__))
        return sys.exit(0)
    if hasattr(sys.stdout, "reconfigure"):  # names of files need not be UTF-8, and none may end a program
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        config = read(config_class, argv, flags.FLAGS)
        if uses_tensorflow:
            quiet.import_tensorflow()
        result = run(config)
    except UserError as error:
        print(f"error: {escaping.terminal_lines(error)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        lack = lack_of_memory(error)
        if not lack and not _is_about_files(error):
            raise
        message = f"not enough memory ({lack})" if lack else one_line(error)
        print(f"error: {escaping.terminal_lines(message)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    sys.exit(result)


def _is_about_files(error):
    """Tells whether `error` is about a file that is missing, forbidden or too large; TensorFlow has its own classes."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    if errors is None or isinstance(error, OSError):
        return isinstance(error, OSError)
    if isinstance(error, errors.FailedPreconditionError):
        return "directory" in str(error)  # there is a file instead of a folder, or a folder instead of a file
    if isinstance(error, errors.UnimplementedError):
        return "File system scheme" in str(error)
    return isinstance(error, (errors.NotFoundError, errors.PermissionDeniedError, errors.ResourceExhaustedError))


def read(config_class, argv, flag_values=None):
    """Returns the `config_class` that the command line `argv` describes; `argv[0]` is the program's name.

    Raises:
      UserError: a flag is unknown or retired, the configuration refuses a value, or a word belongs to no flag.
    """
    flag_values = flags.FlagValues() if flag_values is None else flag_values
    for field, owner, optional in all_fields(config_class):
        _define(field, owner, optional, flag_values)
    takes_recipes = getattr(config_class, "TAKES_RECIPES", False)
    if takes_recipes:
        flags.DEFINE_string("recipe", None, "name of a recipe", flag_values=flag_values, allow_override=True)
    retired = getattr(config_class, "RETIRED", {})
    for name in retired:  # boolean flags accept all three forms: --name, --noname and --name=value
        anything = flags.Flag(flags.ArgumentParser(), None, name, None, "retired", boolean=True, allow_override=True)
        flags.DEFINE_flag(anything, flag_values=flag_values)
    try:
        words = flag_values.read_flags_from_files(argv[1:], force_gnu=False)
        leftovers = flag_values([argv[0], *(recipes.expanded(words) if takes_recipes else words)])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"--{error.flagname} is no flag of this program{_hint(error.flagname, config_class)}") from None
    except (flags.Error, OSError, UnicodeError) as error:
        raise UserError(one_line(error)) from None
    except RecursionError:  # absl compares an unknown name with the known ones, letter by letter
        raise UserError("a flag has a name of hundreds of letters; look into the file of --flagfile") from None
    for name, instead in retired.items():
        if flag_values[name].present:
            raise UserError(f"--{name} does not exist any more: {instead}")
    if leftovers:
        raise UserError(f"{leftovers[0]!r} belongs to no flag; write --flag=value (for booleans --flag or --noflag)")
    return _build(config_class, flag_values)


def _hint(name, config_class):
    """Returns which flags a name that is no flag may have meant, and else where all flags are listed."""
    if name == "recipe":
        return "; a recipe is for train, and what it trained is written in the --train_logdir for all other programs"
    known = [field.name for field, _owner, _optional in all_fields(config_class)]
    return nearest.hint(name, known, "--") or "; --help lists all flags"


def all_fields(config_class):
    """Yields (field, configuration class, optional) of every flag. The default of optional flags is "as trained"."""
    for field in dataclasses.fields(config_class):
        if "overrides" in field.metadata:
            defaults = field.metadata["defaults"]
            for inner, owner, _optional in all_fields(field.metadata["overrides"]):
                if inner.name in field.metadata["hide"]:
                    continue
                if defaults is None:
                    yield inner, owner, True
                else:
                    yield _with_default(inner, defaults.get(inner.name, inner.default)), owner, False
        elif "hide" in field.metadata:
            inner_default = field.default_factory()
            for inner, _owner, optional in all_fields(type(inner_default)):
                if inner.name not in field.metadata["hide"]:
                    yield _with_default(inner, getattr(inner_default, inner.name)), type(inner_default), optional
        elif field.metadata.get("flag"):
            yield field, config_class, False


def _with_default(field, default):
    copy = dataclasses.field(default=default, metadata=field.metadata)
    copy.name = field.name
    return copy


def _define(field, owner, optional, flag_values):
    kind, is_tuple, _ = field_kind(owner, field.name)
    default = None if optional else field.default
    text, choices, word = (field.metadata[key] for key in ("help", "choices", "word"))
    overridable = {"allow_override": True}
    options = {"flag_values": flag_values, **overridable}
    if is_tuple:
        defaults = None if default is None else [tuple(default)]
        parser = _ItemsParser(kind, word)
        flags.DEFINE_multi(parser, flags.ArgumentSerializer(), field.name, defaults, text, **options)
    elif kind is bool and word:
        parser, serializer = _SwitchParser(word), flags.ArgumentSerializer()
        switch = flags.Flag(parser, serializer, field.name, default, text, boolean=True, **overridable)
        flags.DEFINE_flag(switch, flag_values=flag_values)
    elif kind is bool:
        flags.DEFINE_bool(field.name, default, text, **options)
    elif choices and kind is str:
        flags.DEFINE_enum(field.name, default, list(choices), text, **options)
    else:
        define = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}[kind]
        define(field.name, default, text, **options)


def _build(config_class, flag_values):
    values = {}
    for field in dataclasses.fields(config_class):
        if "overrides" in field.metadata:
            names = [inner.name for inner, _owner, _optional in all_fields(field.metadata["overrides"])]
            visible = [name for name in names if name not in field.metadata["hide"]]
            values[field.name] = {name: _value(name, flag_values) for name in visible if flag_values[name].present}
        elif "hide" in field.metadata:
            default = field.default_factory()
            hidden = {name: getattr(default, name) for name in field.metadata["hide"]}
            inner = type(default)
            names = [f.name for f, _owner, _optional in all_fields(inner) if f.name not in hidden]
            values[field.name] = inner(**hidden, **{name: _value(name, flag_values) for name in names})
        elif field.metadata.get("flag"):
            values[field.name] = _value(field.name, flag_values)
    return config_class(**values)


def _value(name, flag_values):
    value = flag_values[name].value
    if isinstance(value, list):
        return _last_list(value)
    if value == "" and flag_values[name].default is None:
        return None  # `--flag=` unsets an optional text
    return value


def _last_list(given):
    """Returns the tuple that the occurrences of a list flag mean together; `given` has one tuple per occurrence.

    Occurrences with a single item, one after the other, add up. An occurrence with several items replaces everything
    before it, so that the command line can override a list of its flagfile. So does a word; the last one is returned as
    it is.
    """
    items, adding_up = (), False
    for occurrence in given:
        single = len(occurrence) == 1 and not isinstance(occurrence, str)
        items = items + occurrence if single and adding_up else occurrence
        adding_up = single
    return items


def help_text(config_class, description):
    """Returns the `--help` page: `description`, then every flag with its default and legal values.

    The flags stand in themes. A theme is a configuration class; the first line of its docstring is the heading.
    """
    themes = {}
    for field, owner, optional in all_fields(config_class):
        themes.setdefault(owner, []).extend(_flag_help(field, owner, optional))
    lines = [description.strip(), ""]
    for owner, flags_help in themes.items():
        lines += ["", owner.__doc__.strip().splitlines()[0], "", *flags_help]
    if getattr(config_class, "TAKES_RECIPES", False):
        known = ", ".join(recipes.names())
        text = f"--recipe=NAME reads the flags of a recipe; flags after it go before them. NAME is one of: {known}."
        lines += ["", *textwrap.wrap(text, 106)]
    lines += ["", "--flagfile=FILE reads further flags from a file, one flag per line."]
    return "\n".join(lines)


def _flag_help(field, owner, optional):
    kind, is_tuple, _ = field_kind(owner, field.name)
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    shown = "" if default is None or default == "" else f" (default {default})"
    shown = " (default: as trained)" if optional else shown
    value = "" if kind is bool else f"={kind.__name__.upper()}{',...' if is_tuple else ''}"
    word = f"[={field.metadata['word']}]" if field.metadata["word"] else ""
    name = f"--[no]{field.name}{word}" if kind is bool else f"--{field.name}{value}"
    text = field.metadata["help"] + shown
    if field.metadata["choices"]:
        text += f" One of: {', '.join(map(str, field.metadata['choices']))}."
    return [f"  {name}", *textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")]
