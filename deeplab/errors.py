"""The one exception for mistakes that a user can mend."""


class UserError(ValueError):
    """Bad input: its message is one line that names the file or flag, the value, and the way out.

    Entry points print the message without a traceback and end with exit code 2.
    """
