"""The names in a data.yaml as YOLO and Roboflow write it, read by a small parser that refuses what it does not know."""

import re

from deeplab.data.building.class_lists import rows
from deeplab.data.building.class_lists.rows import Row

_KEY = re.compile(r"([A-Za-z_][\w\-]*)\s*:(?:\s+(.*))?")
_ITEM = re.compile(r"-\s+(.*)")
_PAIR = re.compile(r"['\"]?(\d+)['\"]?\s*:\s+(.*)")
_TOKEN = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,'"\[\]{}]+)\s*(,|$)""")
_SPECIAL = ("&", "*", "!", "|", ">", "%", "@", "`", "{", "[")  # what begins other things than plain words in YAML


def read(text, where):
    """Returns the `Row`s of the field names; raises a UserError with the line of what is not understood."""
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, without_comment(line)) for number, line in lines]
    lines = [(number, line) for number, line in lines if line.strip() and line.strip() not in ("---", "...")]
    found, count = None, None
    for at, (number, line) in enumerate(lines):
        if line[0] in " \t" or (line[0] == "-" and at):
            continue  # belongs to the key above
        key = _KEY.fullmatch(line)
        if not key:
            rows.refuse(where, number, f"{line[:80]!r} is not understood: expected KEY: VALUE")
        if key[1] == "names":
            found = _names(number, key[2] or "", lines[at + 1 :], where)
        elif key[1] == "nc" and (key[2] or "").isdecimal():
            count = int(key[2])
    if not found:
        rows.refuse(where, 0, "has no field names with the names of the classes")
    if count not in (None, len(found)):
        rows.refuse(where, found[0].line, f"{len(found)} names where nc says {count} classes")
    return found


def without_comment(line):
    """Returns a line of YAML without its comment; a # inside of quotes or of a word begins none."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (at == 0 or line[at - 1] in " [{,:-"):
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at].rstrip()
    return line


def _names(number, value, below, where):
    """Returns the `Row`s of the value of names: in brackets or braces, perhaps on several lines, or a block below."""
    block = []
    for entry in below:
        if entry[1][0] not in " \t-]}":
            break
        block.append(entry)
    if value[:1] in ("[", "{"):
        return _flow(number, " ".join([value, *(line.strip() for _, line in block)]), where)
    if value:
        rows.refuse(where, number, f"names: {value[:80]!r}: expected a list")
    return [_block_row(line_number, line.strip(), where) for line_number, line in block]


def _block_row(number, line, where):
    item, pair = _ITEM.fullmatch(line), _PAIR.fullmatch(line)
    if item:
        return Row(_scalar(item[1], where, number), number)
    if pair:
        return Row(_scalar(pair[2], where, number), number, int(pair[1]))
    rows.refuse(where, number, f"{line[:80]!r} is not understood: expected - NAME or ID: NAME")


def _flow(number, text, where):
    closing = {"[": "]", "{": "}"}[text[0]]
    if not text.endswith(closing):
        rows.refuse(where, number, f"names: {text[:80]!r}: expected {closing} at its end")
    rest, found = text[1:-1].strip().removesuffix(","), []
    while rest:
        token = _TOKEN.match(rest)
        if not token or not token[1].strip():
            rows.refuse(where, number, f"names: {rest[:80]!r} is not understood")
        word, name_id = token[1].strip(), None
        if text[0] == "{":
            pair = _PAIR.fullmatch(word)
            if not pair and word.strip("'\"").isdecimal() is False:
                rows.refuse(where, number, f"names: {word[:80]!r}: expected ID: NAME")
            word, name_id = (pair[2], int(pair[1])) if pair else (word, None)
        found.append(Row(_scalar(word, where, number), number, name_id))
        rest = rest[token.end() :]
    return found


def _scalar(text, where, number):
    """Returns the string that a plain or quoted word of YAML is."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"' and "\\" not in text:
        return text[1:-1]
    if not text or text.startswith((*_SPECIAL, '"', "'")) or ": " in text:
        rows.refuse(where, number, f"{text[:80]!r} is not understood: expected a name")
    return text
