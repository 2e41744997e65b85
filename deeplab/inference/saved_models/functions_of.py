"""The functions of a graph, its FunctionDefs: which others they call, and new names for them.

A library is {name: FunctionDef}.
"""

CALLS = ("PartitionedCall", "StatefulPartitionedCall")  # operations that call a function once


def attributes(node):
    """Returns the NameAttrList of every function that an operation has as an attribute."""
    found = []
    for value in node.attr.values():
        if value.WhichOneof("value") == "func":
            found.append(value.func)
        elif value.WhichOneof("value") == "list":
            found += value.list.func
    return found


def called(name, library):
    """Returns two sets of names: the functions that a function calls once, with itself, and others that it calls.

    The others are called for elements, or in branches and loops.
    """
    once, otherwise, waiting = set(), set(), [(name, True)]
    while waiting:
        one, is_once = waiting.pop()
        seen = once if is_once else otherwise
        if one in library and one not in seen:
            seen.add(one)
            for node in library[one].node_def:
                waiting.append((node.op, False))
                waiting += [(function.name, is_once and node.op in CALLS) for function in attributes(node)]
    return once, otherwise


def reachable(names, library):
    """Returns the sorted names of the functions `names` and of all that they call."""
    return sorted(set().union(*(one for name in names for one in called(name, library))))


def rename(definition, names):
    """Gives a FunctionDef and the functions that it calls their names of {old: new}."""
    definition.signature.name = names[definition.signature.name]
    definition.attr.pop("_input_shapes", None)
    for node in definition.node_def:
        node.op = names.get(node.op, node.op)
        for function in attributes(node):
            function.name = names.get(function.name, function.name)
