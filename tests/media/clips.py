"""Clips, good and hostile, all made here from drawings."""

import io
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from PIL import Image

from inference.drawings import draw_room
from tests.media.files import halves

START_OF_FRAME = b"\xff\xc0\x00\x11"
Shot = tuple[float, Image.Image]
"""The second at which a picture is shown, and the picture."""


@cache
def room(label: str = "empty scene") -> Image.Image:
    return draw_room(7, label).convert("RGB").resize((320, 240))


def shots(seconds: float = 2.0, fps: int = 10, jump_s: float | None = None) -> list[Shot]:
    """A room in which somebody lies on the floor from `jump_s` on."""
    moments = [index / fps for index in range(round(seconds * fps))]
    fallen = seconds if jump_s is None else jump_s
    return [(at, room() if at < fallen else room("fall")) for at in moments]


def clip(
    taken: Sequence[Shot],
    format_: str = "mp4",
    codec: str = "libx264",
    *,
    turned: int = 0,
    sound: bool = False,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A clip of these shots; `turned` is what its display matrix says, counterclockwise."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_, options=options or {}) as file:
        file.metadata.update(tags or {})
        stream = file.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = taken[0][1].size
        stream.pix_fmt = PIXELS.get(codec, "yuv420p")
        stream.codec_context.time_base = Fraction(1, 600 if format_ != "avi" else 10)
        if turned:
            stream.set_display_rotation(turned)
        speech: Any = file.add_stream("aac", rate=16_000) if sound else None
        for at, picture in taken:
            frame: Any = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(at / frame.time_base)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if speech:
            file.mux(speech.encode(hum()))
            file.mux(speech.encode(None))
    return buffer.getvalue()


PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "ffv1": "yuv420p"}


def hum(seconds: float = 1.0) -> Any:
    wave = np.sin(np.arange(int(16_000 * seconds)) / 9).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
    frame.sample_rate = 16_000
    return frame


def speech_alone() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16_000)
        file.mux(stream.encode(hum()))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def gif(pictures: Iterable[Image.Image], duration_ms: int = 200) -> bytes:
    first, *others = pictures
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration_ms)
    return buffer.getvalue()


def gif_bomb(width: int, height: int, frames: int) -> bytes:
    """Few bytes a frame, each of which unpacks to a whole canvas."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    delay = b"\x21\xf9\x04\x00\x02\x00\x00\x00"
    dot = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (delay + dot) * frames + b";"


def claiming_mov(width: int, height: int) -> bytes:
    """A small clip that claims another size, in its header and in each of its pictures."""
    data = bytearray(clip(turned_halves(), "mov", "mjpeg"))
    place = data.index(b"jpeg", data.index(b"stsd")) + 28
    data[place : place + 4] = struct.pack(">HH", width, height)
    place = data.find(START_OF_FRAME)
    while place >= 0:
        data[place + 5 : place + 9] = struct.pack(">HH", height, width)
        place = data.find(START_OF_FRAME, place + 1)
    return bytes(data)


def in_front(data: bytes) -> bool:
    """Whether the index of an MP4 stands before its pictures."""
    return 0 < data.index(b"moov") < data.index(b"mdat")


def turned_halves() -> list[Shot]:
    """Left half red, right half blue."""
    return [(index / 10, halves(width=160, height=96)) for index in range(6)]
