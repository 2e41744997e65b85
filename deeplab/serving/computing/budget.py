"""The memory that requests may take: in bytes, computed from sizes before anything is decoded, run or written.

Two sums are kept. What the network needs while it runs is bounded by what a batch may have, see `batching`. What a
request holds from its arrival until its client has the answer, its body, arrays and answer, is bounded here.
"""

import contextlib
import math
import os
import re
from typing import NamedTuple

from deeplab.serving.reading.contract import Refusal

_SHARE = 0.5  # of the memory that is left at the start; the other half is for a next version, bodies and workers
_NETWORK = 0.75  # of the budget
_RESIZING = 40  # bytes per pixel of an image that the graph shrinks: as floats, its labels, and the way between
_FLOAT_TEXT, _INT_TEXT = 26, 6  # bytes of a number in an answer, at the most, array and text
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


class Cost(NamedTuple):
    """What a network takes while it runs, in bytes.

    Attributes:
      image: of every image, however small.
      pixel: of every pixel that it sees, padding included.
      margin: pixels by which a side of an image is longer to the network at the most: padding and cells at the border.
      least: (height, width) to which smaller images are padded.
      resize: (shortest, longest) side to which the graph resizes all images, as --min_resize_value and
        --max_resize_value say; the longest may be None. None: it does not.
    """

    image: int = 200_000
    pixel: int = 300
    margin: int = 32
    least: tuple[int, int] = (1, 1)
    resize: tuple[int, int | None] | None = None

    def of(self, height, width):
        """Returns the bytes that an image of this size takes."""
        return self.image + self.pixel * self.seen(height, width)

    def seen(self, height, width):
        """Returns the number of pixels that the network sees of an image of this size, at the most."""
        if self.resize:
            shortest, longest = self.resize
            scale = shortest / min(height, width)
            if longest is not None:
                scale = min(scale, longest / max(height, width))
            height, width = math.ceil(height * scale), math.ceil(width * scale)
        return (max(height, self.least[0]) + self.margin) * (max(width, self.least[1]) + self.margin)


class Need(NamedTuple):
    """What a request takes, in bytes: `network` while it runs, `held` from its arrival to its answer's end."""

    network: int
    held: int


def need(model, signature, sizes):
    """Returns the `Need` of a request.

    Args:
      model: a `ServedModel`.
      signature: name of one of its signatures.
      sizes: a list of [images, height, width, ...], as `contract.sizes` gives them.
    """
    numbers = _answer_bytes(model, signature)
    arrays = max((_input_bytes(spec) for spec in model.signatures[signature].inputs.values()), default=3)
    network = held = 0
    for count, height, width, *_scans in sizes:
        resizes = model.input_size.resizes(height, width)
        seen = model.input_size.fitted(height, width) if resizes else (height, width)
        network += count * (model.cost.of(*seen) + resizes * _RESIZING * height * width)
        held += count * height * width * (arrays + numbers)
    return Need(network, held)


def _input_bytes(spec):
    """Returns the bytes per pixel of an input: of arrays (B, H, W, C), and of files, which are decoded to RGB."""
    channels = spec.shape[3] if spec.shape is not None and len(spec.shape) == 4 else None
    return spec.dtype.itemsize * (channels or 3)


def _answer_bytes(model, signature):
    """Returns the bytes per pixel of the answers of a signature: arrays (B, H, W), (B, H, W, K), files."""
    total = 0
    for spec in model.signatures[signature].outputs.values():
        rank = 1 if spec.shape is None else len(spec.shape)
        values = (spec.shape[3] or model.dataset.num_classes) if rank == 4 else 1
        total += values * (spec.dtype.itemsize + (_INT_TEXT if spec.dtype.kind in "iub" else _FLOAT_TEXT))
    return total


class Budget:
    """The bytes that requests may take together.

    Args:
      total: the bytes; 0 takes half of what this process may still have.
      max_pixels: number of pixels that a batch may have, which stands for the network's share in a batch.
    """

    def __init__(self, total, max_pixels):
        self.total = total or int(left() * _SHARE)
        self.network = int(self.total * _NETWORK)
        self._held, self._max_held, self._max_pixels = 0, self.total - self.network, max_pixels

    @property
    def held(self):
        """The bytes that requests hold now."""
        return self._held

    def weight(self, need, pixels):
        """Returns what a request counts in a batch, in pixels: its own, or more if it takes more memory than they do.

        Raises:
          Refusal: 413, it needs more than the network may have.
        """
        if need.network > self.network:
            raise _too_large(need.network, self.network)
        return max(pixels, math.ceil(need.network / self.network * self._max_pixels))

    def hold(self, size):
        """Counts bytes that a request holds, until the function is called that this returns.

        Further calls of that function have no effect.

        Raises:
          Refusal: 413 if no request may hold so much, 503 if others hold too much at the moment.
        """
        if size > self._max_held:
            raise _too_large(size, self._max_held)
        if self._held + size > self._max_held:
            raise Refusal(503, "The memory for requests is taken; try again later")
        self._held += size
        with contextlib.ExitStack() as release:
            release.callback(self._give_back, size)
            return release.pop_all().close

    def _give_back(self, size):
        self._held -= size


def _too_large(size, limit):
    return Refusal(413, f"The request takes {_mb(size)} of memory; at most {_mb(limit)} are given to one")


def _mb(size):
    return f"{size / 1e6:.0f} MB"


def left():
    """Returns the bytes of memory that this process may still take: of the machine, of its container, of `ulimit -v`.

    Without an answer from the system: 4 GiB.
    """
    found = [*_of_machine(), *_of_cgroups(), *_of_address_space()]
    return max(min(found, default=4 << 30), 64 << 20)


def _of_machine():
    with contextlib.suppress(OSError), open("/proc/meminfo") as file:
        if match := re.search(r"MemAvailable:\s+(\d+) kB", file.read()):
            return [int(match[1]) << 10]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return []


def _of_cgroups():
    found = []
    for limit, usage in _CGROUPS:
        with contextlib.suppress(OSError, ValueError), open(limit) as most, open(usage) as now:
            found.append(int(most.read()) - int(now.read()))  # "max" is no number: no limit
    return found


def _of_address_space():
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            with open("/proc/self/statm") as file:
                return [soft - int(file.read().split()[0]) * resource.getpagesize()]
    return []
