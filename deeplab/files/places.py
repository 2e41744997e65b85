"""Names of files and folders for what leaves this machine: they do not say where on the machine something lies.

An export, a table of scores and the runs of a tracker go to other people. An absolute path would tell them the name of
the user and how the machine is arranged. The last parts of a path tell what they need: "run7/model.ckpt-500".
"""

import hashlib
import os

_SPEAKS_WITH_ITS_FOLDER = ("best",)  # the folder of the best checkpoint, which lies in the folder of its training
_MARK = "#"  # between a name and the digest of the path that it stands for
_DIGITS = 16  # hexadecimal digits of the digest


def shortened(path, parts=2):
    """Returns the last parts of a path, such as "run7/model.ckpt-500" or "run7/best/model.ckpt-500".

    A path that is shortened already stays as it is. The home of the user is no part of the result.

    Args:
      path: a file or folder, absolute or relative, or remote.
      parts: how many parts stay. Weights and versions of exports need two, since their own names are alike.
    """
    whole = path.replace(os.sep, "/").partition("://")
    names = [name for name in (whole[2] or whole[0]).split("/") if name not in ("", ".", "..")]
    if names[-parts:-1] and names[-parts] in _SPEAKS_WITH_ITS_FOLDER:
        parts += 1
    kept = names[-parts:]
    home = [name for name in os.path.expanduser("~").replace(os.sep, "/").split("/") if name]
    if path.startswith("/") and len(names) - len(kept) < len(home) and names[: len(home)] == home:
        kept = names[len(home) :] or names[-1:]
    return "/".join(kept)


def marked(path, parts=1):
    """Returns a name that tells apart all paths: a digest of `path`, and its last parts.

    What is marked already stays as it is, so that files from before can be read again.

    Args:
      path: a path that does not depend on the working directory: absolute, or remote.
      parts: how many parts stay, for people.
    """
    if not (path.startswith("/") or "://" in path):
        return path
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return f"{digest}{_MARK}{shortened(path, parts)}"


def is_path(value):
    """Tells whether the value of an option is a path: a text with a slash that is no JSON and no data set of TFDS."""
    return isinstance(value, str) and "/" in value.replace(os.sep, "/") and not value.startswith(("[", "{", "tfds:"))
