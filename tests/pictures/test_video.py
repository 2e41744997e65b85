"""Videos go in and come out with the same frames, sizes and times; damaged ones are refused by name."""

import av
import numpy as np
import pytest

from deeplab.errors import UserError
from deeplab.pictures import video
from helpers.videos import NTSC, make, pictures, seen, turn


def copy(source, target):
    """Sends a video through `read` and `write`; returns the images that were read."""
    with video.read(str(source)) as frames, video.write(str(target), frames) as add:
        images = []
        for image, time in frames:
            images.append(image)
            add(image, time)
    return images


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (47, 63)])
@pytest.mark.parametrize("rate", [25, NTSC])
def test_frames_size_and_rate_are_kept(tmp_path, size, rate):
    images = pictures(8, *size)
    source = make(tmp_path / "in.avi", images, rate)
    copy(source, tmp_path / "out.mp4")
    found, times, found_rate = seen(tmp_path / "out.mp4")
    assert len(found) == len(images)
    assert found_rate == rate
    assert found[0].shape == (*size, 3)
    np.testing.assert_allclose(times, np.arange(len(images)) / float(rate), atol=1e-3)
    for image, expected in zip(found, images, strict=True):
        assert abs(image[-1].mean() - expected[-1].mean()) < 10


def test_times_rounded_to_milliseconds_give_the_rate_again(tmp_path):
    copy(make(tmp_path / "in.mkv", pictures(8, 48, 64), NTSC), tmp_path / "out.mp4")
    assert seen(tmp_path / "out.mp4")[2] == NTSC


def test_uneven_times_are_kept(tmp_path):
    times = [0, 40, 100, 140, 300, 340, 400, 500]
    source = make(tmp_path / "in.mp4", pictures(8, 48, 64), codec="libx264", times=times)
    copy(source, tmp_path / "out.mp4")
    np.testing.assert_allclose(seen(tmp_path / "out.mp4")[1], np.array(times) / 1000, atol=1e-3)


def test_turned_videos_become_upright(tmp_path):
    make(tmp_path / "in.mp4", pictures(3, 48, 64))
    turn(tmp_path / "in.mp4")
    images = copy(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert images[0].shape == (64, 48, 3)
    assert images[0][:, -10:].mean() < 40 < images[0][:, :10].mean()  # what was above is on the right
    assert seen(tmp_path / "out.mp4")[0][0].shape == (64, 48, 3)


def damaged(tmp_path, kind):
    path = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    make(path, [rng.integers(0, 255, (48, 64, 3)).astype(np.uint8) for _ in range(8)], codec="libx264")
    content = bytearray(path.read_bytes())
    if kind == "text":
        content = b"no video"
    elif kind == "cut":
        del content[len(content) // 2 :]
    elif kind == "inside":
        half = content.find(b"mdat") + 4000
        content[half : half + 4000] = bytes(4000)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["text", "cut", "inside"])
def test_damaged_videos_are_refused_by_name_and_leave_nothing(tmp_path, kind):
    path = damaged(tmp_path, kind)
    with pytest.raises(UserError, match=r"in\.mp4: ") as error:
        copy(path, tmp_path / "out.mp4")
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UserError, match=r"sound\.mp4: no pictures in it"), video.read(str(tmp_path / "sound.mp4")):
        pass


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"videos need av, .*pip install av"), video.read("film.mp4"):
        pass
