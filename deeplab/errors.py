"""The exception for mistakes that a user can correct, and how a lack of memory is recognised."""

import re

# What TensorFlow, XLA, cuDNN, cuBLAS, the driver of a GPU, NumPy and the operating system say when memory is lacking.
# TensorFlow raises ResourceExhaustedError for a full disk, too, so that its type tells nothing; and a lack of memory in
# XLA or cuDNN arrives as an InternalError, a NotFoundError or an UnknownError.
_LACK_OF_MEMORY = re.compile(
    r"OOM when allocating tensor[^\n]*|out[ _]of[ _]memory[^\n]*|\w+_STATUS_ALLOC_FAILED[^\n]*|"
    r"failed to allocate[^\n]*|(?:cannot|unable to) allocate[^\n]*|Dst tensor is not initialized[^\n]*|"
    r"failed to (?:get|find) conv(?:olution)? algorithm[^\n]*",
    re.IGNORECASE,
)
_LONGEST_CAUSE = 120
EXIT_BAD_INPUT = 2  # exit code of programs that print the message of a `UserError`


class UserError(ValueError):
    """Bad input. The message is one line that names the file or flag, its value, and what would be right.

    `python -m deeplab.X` prints the message without a traceback and ends with exit code 2.
    """


def one_line(error, most=None):
    """Returns the message of an exception without line breaks, at most `most` characters of it; "" if it has none."""
    return " ".join(str(error).split())[:most]


def not_installed(purpose, error, packages):
    """Returns the `UserError` for a module that is not installed because only some people need it.

    The message names the packages themselves, since the name of this project on a package index may be a stranger's.

    Args:
      purpose: what needs the module, with its verb: "videos need".
      error: the ImportError.
      packages: names of the distributions to install.
    """
    return UserError(
        f"{purpose} {error.name or 'a module'}, which cannot be imported: pip install {' '.join(packages)}"
    )


def lack_of_memory(error):
    """Returns the words in which an exception says that memory is lacking, one short line; None if it is about another
    thing.

    Args:
      error: any exception. A `UserError` says already what is wrong, so that it is never about memory here.
    """
    if isinstance(error, UserError):
        return None
    found = _LACK_OF_MEMORY.search(str(error))
    if found:
        return " ".join(found[0].split())[:_LONGEST_CAUSE]
    return type(error).__name__ if isinstance(error, MemoryError) else None
