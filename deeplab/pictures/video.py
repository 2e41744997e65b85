"""Videos, a picture at a time: `read` gives upright RGB frames, `write` makes an MP4 of them. PyAV, loaded when used.

PyAV's wheels hold the decoders and the H.264 encoder, so nothing else has to be installed. Sound is left out.
"""

import contextlib
import fractions
import os
import tempfile

import numpy as np

from deeplab.errors import UserError
from deeplab.files import atomic

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".m2ts")
_CODEC, _QUALITY = "libx264", {"crf": "18"}  # visually near the frames themselves
_DEFAULT_RATE = 25  # frames per second, where a file tells neither times nor rate
_FINEST = 90_000  # parts of a second that times are given in, at least; MPEG's
_BT709, _LIMITED_RANGE = 1, 1  # ITU-T H.273: what players assume of colours in HD


def is_video(path):
    """Returns whether the file is named like a video."""
    return path.lower().endswith(SUFFIXES)


@contextlib.contextmanager
def read(path):
    """Opens a video; gives a `Source`.

    Raises:
      UserError: PyAV is not installed; the file is no video, has no pictures, or is damaged (also while it is read).
    """
    import tensorflow as tf

    av = _av()
    try:
        with tf.io.gfile.GFile(path, "rb") as file, av.open(file) as container:
            yield Source(path, container)
    except (av.FFmpegError, tf.errors.OpError) as error:
        raise UserError(f"{path}: not a readable video ({' '.join(str(error).split())})") from None


class Source:
    """Frames of an open video.

    Attributes:
      rate: frames per second on average, a Fraction.
      time_base: seconds, a Fraction: times are multiples of it, and 1 / `rate` is, too.
      count: number of frames as the file tells it; None where it does not.
      aspect: width / height of a pixel, a Fraction.
    """

    def __init__(self, path, container):
        if not container.streams.video:
            raise UserError(f"{path}: no pictures in it, only sound or text")
        self._path, self._container, self._stream = path, container, container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        self.rate = fractions.Fraction(rate).limit_denominator(1001)  # NTSC's; others are measured averages
        self.time_base = fractions.Fraction(1, self.rate.numerator * -(-_FINEST // self.rate.numerator))
        self.count = self._stream.frames or None
        self.aspect = self._stream.sample_aspect_ratio or fractions.Fraction(1)

    def __iter__(self):
        """Yields (image (H, W, 3) uint8, turned as the file asks for; time in units of `time_base`, rising)."""
        time, size = -1, None
        for number, frame in enumerate(self._container.decode(self._stream)):
            if frame.is_corrupt:
                raise UserError(f"{self._path}: damaged at {float(frame.time or 0):.2f} s")
            size = size or (frame.width, frame.height)  # one that changes on the way is brought back to the first
            image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            time = max(time + 1, self._time(frame, number))
            yield np.rot90(image, _quarter_turns(frame)), time
        if size is None:
            raise UserError(f"{self._path}: not a readable video (no frame could be decoded)")

    def _time(self, frame, number):
        """Returns the time of a frame; one that differs from an even rate by rounding only is put there."""
        if frame.pts is None:
            seconds = number / self.rate
        else:
            seconds = frame.pts * frame.time_base
            even = round(seconds * self.rate) / self.rate
            seconds = even if abs(seconds - even) <= frame.time_base else seconds
        return round(seconds / self.time_base)


@contextlib.contextmanager
def write(path, source):
    """Makes an MP4 with rate and times of `source`; gives a function (image (H, W, 3) uint8, time) that adds a frame.

    It is written aside and renamed when all went well: after an error there is no file. All frames have one size.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch:  # an MP4's index is written last, and gs:// cannot go back
        local = os.path.join(scratch, "video.mp4")
        with _av().open(local, "w", options={"movflags": "faststart"}) as container:
            encoder = _Encoder(container, source)
            yield encoder.add
            encoder.finish()
        with atomic.replacing(path) as unfinished:
            tf.io.gfile.copy(local, unfinished, overwrite=True)


class _Encoder:
    def __init__(self, container, source):
        self._container, self._source, self._stream = container, source, None

    def add(self, image, time):
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._stream = self._stream or self._open(frame.width, frame.height)
        frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE)
        frame.pts, frame.time_base = time, self._source.time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self):
        if self._stream:
            self._container.mux(self._stream.encode())

    def _open(self, width, height):
        stream = self._container.add_stream(_CODEC, rate=self._source.rate, options=_QUALITY)
        stream.width, stream.height = width, height
        # Colours at half the resolution play everywhere, but take even sides.
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        context = stream.codec_context
        context.time_base = self._source.time_base
        context.max_b_frames = 0  # packets in the order of the frames, so that the last one's time is kept
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream


def _quarter_turns(frame):
    """Returns how often to turn a frame counterclockwise by 90 degrees, 0 to 3."""
    return round(frame.rotation / 90) % 4 if abs(frame.rotation) <= 360 else 0  # a broken matrix gives -2**31


def _av():
    try:
        import av
    except ImportError as error:
        raise UserError(f'videos need the extra `video`: pip install "deeplab[video]" ({error})') from None
    return av
