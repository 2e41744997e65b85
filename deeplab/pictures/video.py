"""Videos, frame by frame: `read` gives upright RGB images, `write` makes an MP4 of such images. Sound is left out.

The library is PyAV, an optional dependency that is imported when a video is opened. Its wheels hold the decoders and
the H.264 encoder, so that nothing else has to be installed.
"""

import contextlib
import fractions
import os
import tempfile

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError, not_installed
from deeplab.files import atomic, paths

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".m2ts")
_CODEC, _QUALITY = "libx264", {"crf": "18"}  # can hardly be told from the original by eye
_DEFAULT_RATE = 25  # frames per second, for files that say neither rate nor times
_FINEST = 90_000  # times are given in units of 1/90000 s or less, as in MPEG
_BT709, _LIMITED_RANGE = 1, 1  # ITU-T H.273; players assume these colours for HD videos that do not say


def is_video(path):
    """Tells whether a file has the name of a video."""
    return path.lower().endswith(SUFFIXES)


@contextlib.contextmanager
def read(path):
    """Opens a video for a `with` block, and gives its `Frames`.

    Raises:
      UserError: PyAV is not installed; or the file is not a video, has no pictures, or is damaged. A damaged file may
        raise it in the middle of the block, while frames are read.
    """
    av = _av()
    try:
        opened = paths.open_regular(path)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        with opened as file, av.open(file) as container:
            yield Frames(path, container)
    except (av.FFmpegError, tf.errors.OpError) as error:
        raise UserError(f"{path}: not a readable video ({' '.join(str(error).split())})") from None


class Frames:
    """The frames of an open video.

    Attributes:
      rate: average number of frames per second, a Fraction.
      time_base: unit of the times of frames in seconds, a Fraction. 1 / `rate` is a multiple of it, so that frames at
        an even rate have exact times.
      count: number of frames; None if the file does not say it.
    """

    def __init__(self, path, container):
        if not container.streams.video:
            raise UserError(f"{path}: no pictures in it, only sound or text")
        self._path, self._container, self._stream = path, container, container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        self.rate = fractions.Fraction(rate).limit_denominator(1001)  # 1001: NTSC; finer fractions are measurements
        self.time_base = fractions.Fraction(1, self.rate.numerator * -(-_FINEST // self.rate.numerator))
        self.count = self._stream.frames or None

    def __iter__(self):
        """Yields (image, time): (H, W, 3) uint8, turned as the file says, and an integer in units of `time_base`.

        Every time is larger than the time before.
        """
        time, size = -1, None
        for number, frame in enumerate(self._container.decode(self._stream)):
            if frame.is_corrupt:
                raise UserError(f"{self._path}: damaged at {float(frame.time or 0):.2f} s")
            size = size or (frame.width, frame.height)  # a frame of another size is brought to that of the first
            image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            time = max(time + 1, self._time(frame, number))
            yield np.rot90(image, _quarter_turns(frame)), time
        if size is None:
            raise UserError(f"{self._path}: not a readable video (no frame could be decoded)")

    def _time(self, frame, number):
        """Returns the time of a frame in units of `time_base`.

        Files round times, some to milliseconds. A time that differs from that of an even rate by no more than such a
        rounding is taken for the time of the even rate.
        """
        if frame.pts is None:
            seconds = number / self.rate
        else:
            seconds = frame.pts * frame.time_base
            even = round(seconds * self.rate) / self.rate
            seconds = even if abs(seconds - even) <= frame.time_base else seconds
        return round(seconds / self.time_base)


@contextlib.contextmanager
def write(path, frames):
    """Makes an MP4 with the rate of other `Frames`, e.g. those that its images are made of.

    Gives, for a `with` block, a function that adds a frame: its arguments are an image (H, W, 3) uint8 and a time in
    units of `frames.time_base`. All images have one size. The file appears under its name when the block is complete;
    after an error there is no file.
    """
    # The encoder goes back to the beginning of the file to write the index of the MP4, which gs:// does not allow.
    with tempfile.TemporaryDirectory() as scratch:
        local = os.path.join(scratch, "video.mp4")
        with _av().open(local, "w", options={"movflags": "faststart"}) as container:
            encoder = _Encoder(container, frames)
            yield encoder.add
            encoder.finish()
        with atomic.replacing(path) as unfinished:
            tf.io.gfile.copy(local, unfinished, overwrite=True)


class _Encoder:
    """Adds frames to an MP4; the first frame says how large the video is."""

    def __init__(self, container, frames):
        self._container, self._rate, self._time_base = container, frames.rate, frames.time_base
        self._stream = None

    def add(self, image, time):
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._stream = self._stream or self._open(frame.width, frame.height)
        frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE)
        frame.pts, frame.time_base = time, self._time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self):
        if self._stream:
            self._container.mux(self._stream.encode())  # what the encoder still holds back

    def _open(self, width, height):
        stream = self._container.add_stream(_CODEC, rate=self._rate, options=_QUALITY)
        stream.width, stream.height = width, height
        # All players show videos whose colours have half the resolution (yuv420p), but their sides must be even.
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.max_b_frames = 0  # packets come in the order of the frames, so that the time of the last frame is kept
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream


def _quarter_turns(frame):
    """Returns how many times a frame must be turned counterclockwise by 90 degrees, 0 to 3."""
    # If the rotation in the file is damaged, PyAV gives -2**31 degrees.
    return round(frame.rotation / 90) % 4 if abs(frame.rotation) <= 360 else 0


def _av():
    """Returns the module of PyAV, which is not installed with deeplab unless the user asks for the extra `video`."""
    try:
        import av
    except ImportError as error:
        raise not_installed("videos need", error, ["av"]) from None
    return av
