"""A child of `deeplab.files.limited` that does what no child should do."""

import os
import time

from deeplab.files import limited


def work(how):
    if how == "memory":
        bytearray(1 << 30)
    elif how == "abort":
        os.abort()
    elif how == "sleep":
        time.sleep(60)
    else:
        raise ValueError("no\ngood")


if __name__ == "__main__":
    limited.serve(work)
