"""Writes and reads videos with PyAV alone, to test deeplab/pictures/video.py against it."""

import fractions
import itertools
import struct

import av
import numpy as np

MILLISECOND = fractions.Fraction(1, 1000)
NTSC = fractions.Fraction(30000, 1001)


def pictures(count, height, width):
    """Returns (H, W, 3) uint8 images. The brightness of the lower half tells the number of the image."""
    images = [np.full((height, width, 3), 100 + 10 * i, np.uint8) for i in range(count)]
    for image in images:
        image[: height // 2] = 20
    return images


def make(path, images, rate=25, codec="mpeg4", times=None):
    """Writes a video and returns its path. `times`: when each image appears, in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if times:
            stream.codec_context.time_base = MILLISECOND
        for image, time in itertools.zip_longest(images, times or ()):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            if times:
                frame.pts, frame.time_base = time, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def turn(path):
    """Writes "show turned to the right" into an MP4, as telephones do."""
    content = bytearray(path.read_bytes())
    place = content.find(b"tkhd") + 44  # ISO 14496-12, 8.3.2: the matrix of the track
    one = 1 << 16
    content[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def seen(path):
    """Returns ([image], [seconds], rate) of a video, with PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        images = [frame.to_ndarray(format="rgb24") for frame in frames]
        return images, [float(frame.time) for frame in frames], container.streams.video[0].average_rate
