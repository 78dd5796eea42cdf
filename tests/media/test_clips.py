"""What becomes of a clip: the frames that are judged, and a copy that only plays."""

import io
import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from inference.media import Limits, MediaRejected, Sanitised, sanitise
from inference.media.decoder import Moment, choose
from inference.media.sanitising import DECODER
from tests.media import clips, files

RED, BLUE = (230, 20, 20), (20, 20, 230)
DOT = Image.new("RGB", (1, 1))


def refusal(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(MediaRejected) as caught:
        sanitise(data, limits=limits)
    return caught.value.code


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def played(data: bytes) -> tuple[Any, list[tuple[float, Image.Image]]]:
    """The streams' facts and the frames of a playback copy."""
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.video[0]
        facts = {
            "codec": stream.codec_context.name,
            "pixels": stream.codec_context.pix_fmt,
            "streams": len(file.streams),
            "duration": float(stream.duration * stream.time_base),  # type: ignore[operator]
            "tags": {**file.metadata, **stream.metadata},
        }
        frames: Any = file.decode(stream)
        return facts, [(float(frame.time or 0), frame.to_image()) for frame in frames]


def close(colour: object, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(np.asarray(colour, int), wanted)).max() < 45)


# Which frames -------------------------------------------------------------------------------------


def chosen(changes: list[float], seconds: float | None = None) -> list[float]:
    """The times, in tenths, of the chosen ones among frames a tenth of a second apart."""
    moments = [Moment(index / 10, change, DOT) for index, change in enumerate(changes)]
    found = choose(moments, len(changes) / 10 if seconds is None else seconds)
    return [round(10 * moment.at_s) for moment in found]


def test_of_a_still_clip_the_frames_are_evenly_spaced() -> None:
    assert chosen([0.0] * 80) == [0, 10, 20, 30, 40, 50, 60, 70]


@pytest.mark.parametrize("jump", [1, 7, 20, 33, 40, 59, 60, 79])
def test_a_jump_is_among_the_frames_wherever_it_is(jump: int) -> None:
    changes = [0.1] * 80
    changes[jump] = 9.0
    assert jump in chosen(changes)


def test_of_each_quarter_come_its_middle_and_where_it_moves_most() -> None:
    changes = [float(index % 20 == 13) for index in range(80)]
    assert chosen(changes) == [10, 13, 30, 33, 50, 53, 70, 73]


def test_where_the_middle_moves_most_the_next_most_moving_frame_is_taken_too() -> None:
    changes = [0.0] * 80
    changes[10], changes[4] = 9.0, 5.0
    assert chosen(changes)[:2] == [4, 10]


@pytest.mark.parametrize("count", range(1, 9))
def test_of_few_frames_all_are_looked_at(count: int) -> None:
    assert chosen([0.0] * count) == list(range(count))


def test_frames_that_crowd_one_end_still_come_in_order_and_once() -> None:
    found = chosen([float(index) for index in range(30)], seconds=60.0)
    assert found == sorted(set(found))
    assert len(found) == 2


# What comes out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "codec", "name"),
    [
        ("mp4", "libx264", "MP4"),
        ("mp4", "libx265", "MP4"),
        ("mov", "mpeg4", "MP4"),
        ("avi", "mpeg4", "AVI"),
        ("avi", "mjpeg", "AVI"),
        ("avi", "libx264", "AVI"),
    ],
)
def test_a_clip_comes_through(format_: str, codec: str, name: str) -> None:
    clean = sanitise(clips.clip(clips.shots(2.0), format_, codec))
    assert clean.format == name
    assert len(clean.frames) == 8
    assert clean.duration_s == pytest.approx(2.0, abs=0.11)
    middle = clean.frames[4]
    assert (clean.image, clean.thumbnail) == (middle.image, middle.thumbnail)
    assert opened(clean.image).size == (clean.width, clean.height) == (320, 240)
    facts, frames = played(clean.clip)
    assert (facts["codec"], facts["pixels"], facts["streams"]) == ("h264", "yuv420p", 1)
    assert facts["duration"] == pytest.approx(2.0, abs=0.11)
    assert len(frames) == 20
    drawn = np.asarray(clips.room(), int)
    for picture in (opened(middle.image), frames[10][1]):
        assert np.abs(np.asarray(picture, int) - drawn).mean() < 12


def test_an_animated_gif_is_a_clip() -> None:
    clean = sanitise(clips.gif([clips.room(), clips.room("fall"), clips.room()], 400))
    assert clean.format == "GIF"
    assert clean.duration_s == pytest.approx(1.2)
    assert [frame.at_s for frame in clean.frames] == [0.0, 0.4, 0.8]
    assert played(clean.clip)[0]["codec"] == "h264"


def test_a_transparent_gif_is_shown_on_white() -> None:
    layers = [Image.new("RGBA", (64, 64), (200, 0, 0, 0)) for _ in range(2)]
    for index, layer in enumerate(layers):
        layer.paste((0, 0, 200, 255), (0, 0, 20 + index, 20))
    picture = opened(sanitise(clips.gif(layers)).image)
    assert close(picture.getpixel((50, 50)), (255, 255, 255))
    assert close(picture.getpixel((5, 5)), (0, 0, 200))


def test_the_moment_somebody_falls_is_looked_at() -> None:
    clean = sanitise(clips.clip(clips.shots(10.0, jump_s=6.3)))
    times = [frame.at_s for frame in clean.frames]
    assert 6.3 in times
    assert times == sorted(set(times))
    fallen = opened(clean.frames[times.index(6.3)].image)
    before = opened(clean.frames[times.index(6.3) - 1].image)
    scene = np.asarray(clips.room("fall"), int)
    assert np.abs(np.asarray(fallen, int) - scene).mean() < 8
    assert np.abs(np.asarray(before, int) - scene).mean() > 8


def test_a_large_clip_is_made_smaller_and_its_copy_smaller_still() -> None:
    wide = [(at, files.halves(width=1503, height=751)) for at in (0.0, 0.1)]
    data = clips.clip(wide, "avi", "mjpeg")
    clean = sanitise(data)
    assert (clean.width, clean.height) == (1024, 512)
    assert opened(clean.thumbnail).size == (320, 160)
    assert played(clean.clip)[1][0][1].size == (640, 320)


def test_a_quick_clip_is_slowed_to_a_dozen_frames_a_second() -> None:
    clean = sanitise(clips.clip(clips.shots(2.0, fps=50)))
    facts, frames = played(clean.clip)
    assert len(frames) == 24
    assert facts["duration"] == pytest.approx(2.0, abs=0.1)


def test_a_changing_frame_rate_keeps_its_times() -> None:
    taken = [(at, clips.room()) for at in (0.0, 0.1, 0.2, 3.0, 3.1, 7.5)]
    clean = sanitise(clips.clip(taken))
    assert clean.duration_s == pytest.approx(9.0)
    assert {0.2, 3.0, 3.1, 7.5} <= {frame.at_s for frame in clean.frames}
    assert [round(at, 1) for at, _ in played(clean.clip)[1]] == [0.0, 0.1, 0.2, 3.0, 3.1, 7.5]


@pytest.mark.parametrize(
    ("turned", "red", "blue"),
    [
        (0, (10, 48), (150, 48)),
        (-90, (48, 10), (48, 150)),
        (90, (48, 150), (48, 10)),
        (180, (150, 48), (10, 48)),
    ],
)
def test_a_clip_of_a_turned_phone_is_upright(
    turned: int, red: tuple[int, int], blue: tuple[int, int]
) -> None:
    clean = sanitise(clips.clip(clips.turned_halves(), turned=turned))
    facts, frames = played(clean.clip)
    for picture in (opened(clean.image), opened(clean.frames[0].thumbnail), frames[0][1]):
        assert picture.size == ((96, 160) if turned in (90, -90) else (160, 96))
        assert close(picture.getpixel(red), RED)
        assert close(picture.getpixel(blue), BLUE)
    assert facts["tags"].get("rotate", "0") == "0"


def test_a_phone_held_upright_says_so_in_the_way_these_tests_do() -> None:
    """Upright phones write the matrix of a quarter turn to the right: 0 1 0, -1 0 0."""
    data = clips.clip(clips.turned_halves(), turned=-90)
    track = data.index(b"tkhd") + 4 + 40
    turn = [int.from_bytes(data[track + 4 * k :][:4], signed=True) >> 16 for k in (0, 1, 3, 4)]
    assert turn == [0, 1, -1, 0]


def test_the_copy_has_no_sound_and_nothing_of_what_the_clip_said_of_itself() -> None:
    tags = {"title": "Mrs Secret, room 7", "location": "+48.2000+011.5000/"}
    data = clips.clip(clips.shots(1.0), sound=True, tags=tags)
    assert b"Secret" in data and b"soun" in data and b"loci" in data
    clean = sanitise(data)
    kept = [clean.clip, *(part for f in clean.frames for part in (f.image, f.thumbnail))]
    for part in kept:
        assert b"Secret" not in part and b"loci" not in part and b"soun" not in part
    assert played(clean.clip)[0]["streams"] == 1
    assert set(played(clean.clip)[0]["tags"]) <= {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "language",
        "handler_name",
    }


def test_a_browser_can_play_the_copy_before_it_has_all_of_it() -> None:
    data = clips.clip(clips.shots(30.0, fps=12))
    assert not clips.in_front(data)
    clean = sanitise(data)
    assert clips.in_front(clean.clip)
    assert len(played(clean.clip)[1]) == 360


def test_the_same_clip_gives_the_same_bytes() -> None:
    data = clips.clip(clips.shots(1.0))
    assert sanitise(data) == sanitise(data)


# What is refused ----------------------------------------------------------------------------------


def test_a_clip_may_last_a_minute_and_no_more() -> None:
    minute = sanitise(clips.clip([(at, clips.room()) for at in range(60)]))
    assert isinstance(minute, Sanitised)
    assert refusal(clips.clip([(at, clips.room()) for at in range(62)])) == "too_long"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("format_", ["mp4", "faststart", "avi"])
def test_a_clip_that_was_cut_off_is_refused(format_: str, share: float) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"} if format_ == "faststart" else {}
    data = clips.clip(clips.shots(1.0), format_.replace("faststart", "mp4"), options=options)
    assert refusal(data[: int(len(data) * share)]) == "truncated"


def test_a_cut_off_gif_is_refused() -> None:
    data = clips.gif([clips.room(), clips.room("fall")])
    assert refusal(data[: len(data) * 2 // 3]) == "truncated"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + bytes(range(256)) * 9, "truncated"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + files.HTML, "truncated"),
        (b"RIFF\x10\x00\x00\x00AVI " + bytes(99), "truncated"),
        (b"GIF89a" + bytes(50) + b";", "truncated"),
        (b"\x1aE\xdf\xa3" + bytes(99), "unsupported"),
        (clips.gif_bomb(65_000, 65_000, 2), "truncated"),
        (clips.gif_bomb(9_000, 9_000, 2), "clip_too_detailed"),
        (clips.claiming_mov(65_000, 65_000), "truncated"),
        (clips.claiming_mov(9_000, 9_000), "clip_too_detailed"),
        (clips.claiming_mov(8, 8), "too_small"),
        (clips.speech_alone(), "no_picture"),
        (clips.clip(clips.shots(0.5), "avi", "ffv1"), "unsupported_codec"),
        (clips.clip([(0.0, Image.new("RGB", (30, 90)))]), "too_small"),
    ],
)
def test_a_file_that_is_no_good_clip_is_refused(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_a_gif_that_unpacks_to_far_too_much_ends_with_the_child() -> None:
    bomb = clips.gif_bomb(2900, 2900, 2900)
    assert len(bomb) < 100_000
    start = time.monotonic()
    assert refusal(bomb, Limits(clip_cpu_s=1, clip_wall_s=20.0)) == "decoder_failed"
    assert time.monotonic() - start < 25


def test_a_clip_that_is_too_large_is_never_decoded() -> None:
    data = clips.clip(clips.shots(1.0))
    assert refusal(data, Limits(max_bytes=len(data) - 1)) == "too_large"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("format_", ["mp4", "avi"])
def test_flipped_bits_are_shown_or_refused_but_never_raise_anything_else(
    format_: str, seed: int
) -> None:
    data = files.flipped(clips.clip(clips.shots(1.0), format_), seed)
    try:
        clean = sanitise(data)
    except MediaRejected as error:
        assert error.code != "not_an_image"
    else:
        assert all(frame.image.startswith(b"\xff\xd8\xff") for frame in clean.frames)


UNPRIVILEGED = """
import json, os, runpy, sys, threading
names = runpy.run_path(sys.argv[1])
limits = json.loads(sys.argv[3])
names["load_ffmpeg"]()
names["Image"].preinit()
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
names["confine"](limits)
head, parts = names["decode"](sys.stdin.buffer.read(), sys.argv[2], limits)
print(json.dumps([head, len(parts), "numpy" in sys.modules]))
"""


@pytest.mark.parametrize("format_", ["mp4", "avi"])
def test_a_clip_is_decoded_without_a_second_thread(format_: str) -> None:
    """The limit on processes forbids threads too, but binds nobody who is root."""
    limits = json.dumps(asdict(Limits()))
    command = (sys.executable, "-I", "-c", UNPRIVILEGED, str(DECODER), format_, limits)
    data = clips.clip(clips.shots(1.0), format_)
    done = subprocess.run(command, input=data, capture_output=True, check=True, env={})
    head, parts, numpy = json.loads(done.stdout)
    assert "error" not in head
    assert parts == 1 + 2 * len(head["times"])
    assert not numpy
