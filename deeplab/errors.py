"""The exception for mistakes that a user can correct."""


class UserError(ValueError):
    """Bad input. The message is one line that names the file or flag, its value, and what would be right.

    `python -m deeplab.X` prints the message without a traceback and ends with exit code 2.
    """
