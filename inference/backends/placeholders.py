"""A picture in place of one that may not be shown: it says so, and which recorded case it is.

A row of light and dark squares along the lower edge holds the case's number and a checksum of its
name. The squares outlive scaling and JPEG.
"""

import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, STRIP = 640, 480, 40
NUMBER_BITS, CHECK_BITS = 20, 12
_BITS = NUMBER_BITS + CHECK_BITS
_PAPER, _INK, _SOFT = "#eef2f4", "#17242b", "#566871"


def placeholder(number: int, name: str) -> Image.Image:
    """The RGB picture (640 x 480) of case `number`, 0 to 2^20 - 1, of that name."""
    if not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"{number} is no number of a case: 0 to {(1 << NUMBER_BITS) - 1}")
    picture = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(picture)
    lines = (
        ("A recorded case", 36, _INK),
        (name, 28, _INK),
        ("Its picture is not kept.", 24, _SOFT),
    )
    for at, (text, size, colour) in enumerate(lines):
        font = ImageFont.load_default(size)
        draw.text((WIDTH / 2, 160 + 56 * at), text, colour, font, anchor="mm")
    code = number << CHECK_BITS | _check(number, name)
    edges = np.linspace(0, WIDTH, _BITS + 1).round()
    for bit in range(_BITS):
        if code >> (_BITS - 1 - bit) & 1:
            box = (edges[bit], HEIGHT - STRIP, edges[bit + 1] - 1, HEIGHT)
            draw.rectangle(box, fill="black")
    return picture


def number_on(picture: Image.Image) -> tuple[int, int]:
    """The number that a placeholder shows, and the checksum beside it; any picture shows some."""
    strip = picture.convert("L").resize((WIDTH, HEIGHT)).crop((0, HEIGHT - STRIP, WIDTH, HEIGHT))
    dark = np.asarray(strip, dtype=np.float64)[10:-10].mean(axis=0) < 127
    middles = ((np.arange(_BITS) + 0.5) * WIDTH / _BITS).astype(int)
    code = int("".join("1" if dark[at] else "0" for at in middles), 2)
    return code >> CHECK_BITS, code & ((1 << CHECK_BITS) - 1)


def is_of(check: int, number: int, name: str) -> bool:
    """Whether a checksum is that of a case's number and name."""
    return check == _check(number, name)


def _check(number: int, name: str) -> int:
    return zlib.crc32(f"{number} {name}".encode()) & ((1 << CHECK_BITS) - 1)
