"""Text from files and folders, where it is shown or becomes the name of a file.

Names of classes and of files come from anybody. In a terminal, control characters move the cursor, change colours or
hide what is written; in the name of a file, a slash leads to another folder. The page of the server writes names as
text, never as HTML.
"""

import hashlib
import os

# Bytes of the name of a result. Most file systems allow 255, of which the ends of results, a number and the mark of
# unfinished files need 35.
LONGEST = 220
_KEPT, _DIGEST_BYTES = 200, 4  # bytes of a longer name that stay, and of the hash that tells such names apart


def terminal(text):
    """Returns one line of text for a terminal, a table or a picture: what is not printable is written as in Python."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def terminal_lines(text):
    """Returns text of several lines, each as `terminal` gives it."""
    return "\n".join(terminal(line) for line in str(text).split("\n"))


def file_name(text):
    """Returns text as one part of a path that every file system takes: valid UTF-8, no slash, at most `LONGEST` bytes.

    What is not printable becomes "_". Text that is fine already stays as it is. Different texts may become equal, so
    the caller looks whether the name is taken.
    """
    name = "".join(char if char.isprintable() and char not in "/\\" else "_" for char in text)
    name = "_" if name in ("", ".", "..") else name
    content = name.encode()
    if len(content) <= LONGEST:
        return name
    digest = hashlib.blake2b(os.fsencode(text), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{content[:_KEPT].decode(errors='ignore')}~{digest}"


def decoded(name):
    """Returns the bytes of a name as text; bytes that are not UTF-8 are written as \\xff."""
    return name.decode(errors="backslashreplace")
