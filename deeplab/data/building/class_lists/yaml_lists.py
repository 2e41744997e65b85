"""The names in a data.yaml as YOLO and Roboflow write it."""

import yaml

from deeplab.data.building.class_lists import rows
from deeplab.data.building.class_lists.rows import Row


def read(text, where):
    """Returns the `Row`s of the field names; raises a UserError with the line of what is not understood.

    A name is what stands in the file: YAML's rules, by which `no` is a truth value, are for other programs.
    """
    fields = _fields(text, where)
    if "names" not in fields:
        rows.refuse(where, 0, "has no field names with the names of the classes")
    found = list(_names(fields["names"], where))
    count = fields["nc"].value if "nc" in fields else ""
    if isinstance(count, str) and count.isdecimal() and int(count) != len(found):
        rows.refuse(where, _line(fields["nc"]), f"{len(found)} names where nc says {count} classes")
    return found


def _fields(text, where):
    """Returns {key: node} of the YAML mapping that a text is."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or type(error).__name__
        rows.refuse(where, mark.line + 1 if mark else 0, f"is no YAML ({reason})")
    if not isinstance(root, yaml.MappingNode):
        rows.refuse(where, 0, "is no YAML with a field names")
    return {key.value: value for key, value in root.value if isinstance(key.value, str)}


def _names(node, where):
    """Yields the `Row`s of a list of names, or of ids with a name each."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield Row(_name(one, where), _line(one))
    elif isinstance(node, yaml.MappingNode):
        for key, one in node.value:
            if not isinstance(key.value, str) or not key.value.isdecimal():
                rows.refuse(where, _line(key), f"names: {str(key.value)[:80]!r}: expected ID: NAME")
            yield Row(_name(one, where), _line(one), int(key.value))
    else:
        rows.refuse(where, _line(node), f"names: {node.value[:80]!r}: expected a list")


def _name(node, where):
    if not isinstance(node, yaml.ScalarNode):
        rows.refuse(where, _line(node), "names: a list in a list; expected a name")
    return node.value


def _line(node):
    return node.start_mark.line + 1
