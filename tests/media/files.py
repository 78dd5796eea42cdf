"""Files that come in at the door, good and hostile, all made here."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

HTML = b"<html><body><script>alert('hello')</script></body></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
ORIENTATION, DESCRIPTION, GPS = 0x0112, 0x010E, 0x8825


def encoded(picture: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def halves(mode: str = "RGB", width: int = 120, height: int = 80) -> Image.Image:
    """Left half red, right half blue, so that a turn shows."""
    picture = Image.new("RGB", (width, height), (230, 20, 20))
    picture.paste((20, 20, 230), (width // 2, 0, width, height))
    return picture.convert(mode)


def noise(width: int = 400, height: int = 300) -> Image.Image:
    levels = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def told(orientation: int = 1) -> Image.Exif:
    """EXIF that tells where and what, with a name in it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[DESCRIPTION] = "Mrs Secret, room 7"
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 12.0, 30.0)})
    return exif


def sixteen_bit_png() -> bytes:
    ramp = np.tile(np.linspace(0, 65535, 64, dtype=np.uint16), (64, 1))
    return encoded(Image.fromarray(ramp), "PNG")


def clear_palette_png() -> bytes:
    """Four colours, the first of them transparent."""
    picture = halves().quantize(4)
    return encoded(picture, "PNG", transparency=picture.getpixel((0, 0)))


def claiming_png(width: int, height: int) -> bytes:
    """A hundred bytes that claim any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def flipped(data: bytes, seed: int) -> bytes:
    """A dozen bits after the first bytes turned over."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in rng.integers(12, len(data), 12):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def animated(format_: str) -> bytes:
    frames = [halves(), halves().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=100)


def polyglots() -> list[bytes]:
    """Pictures that are something else as well."""
    png, jpeg = encoded(halves(), "PNG"), encoded(halves())
    script = b"<script>alert('hello')</script>"
    return [
        jpeg + HTML,
        png + HTML,
        jpeg + b"PK\x03\x04" + b"\0" * 60,
        jpeg + b"%PDF-1.7\n1 0 obj",
        jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script + jpeg[2:],
        b"GIF89a" + HTML,
        b"GIF89a/*" + b"\0" * 40 + b"*/=1;alert('hello')",
        b"<!--" + jpeg + b"-->" + HTML,
        SVG + jpeg,
        b"#!/bin/sh\nrm -rf /\n" + jpeg,
    ]


ODD_NAMES = (
    "../../../etc/passwd",
    "..\\..\\windows\\system.ini",
    "/etc/cron.d/job.jpg",
    "photo.jpg.php",
    "photo.html",
    "photo\u202egpj.exe",
    "<img src=x onerror=alert(1)>.jpg",
    '"; drop table triage_case; --.jpg',
    "photo\n\rSet-Cookie: a=b.jpg",
    "%00.jpg",
    "%2e%2e%2fsecret.jpg",
    "." * 200 + ".jpg",
    "n" * 400 + ".jpg",
    "\N{FIRE}" * 60 + ".jpg",
    "CON",
    ".htaccess",
    "{{ 7 * 7 }}.jpg",
)


def hostile() -> list[tuple[str, bytes]]:
    """140 files that somebody might send who means no good, each with a name."""
    formats = {one: encoded(noise(), one) for one in ("JPEG", "PNG", "WEBP")}
    found = [flipped(data, seed) for data in formats.values() for seed in range(20)]
    cuts = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 0.99)
    found += [data[: int(len(data) * cut)] for data in formats.values() for cut in cuts]
    found += [claiming_png(side, side) for side in (1, 31, 60_000, 2**20, 2**31 - 1)]
    found += [encoded(halves(), one, exif=told()) for one in formats]
    found += [animated("PNG"), animated("WEBP"), animated("GIF"), encoded(halves(), "BMP"), b""]
    found += [HTML, SVG, b"%PDF-1.7\n" + b"0" * 500, b"#EXTM3U\nfile:///etc/passwd"]
    found += [b"#EXTM3U\nconcat:/etc/passwd|/etc/hosts", b"\0" * 5000, b"MZ" + b"\0" * 500]
    found += [b"\x7fELF" + b"\0" * 500, b"PK\x03\x04" + b"\0" * 500, b"\xff\xd8\xff" + HTML * 20]
    found += polyglots()
    named = [(f"file-{number}.jpg", data) for number, data in enumerate(found)]
    return named + [(name, encoded(halves(), quality=80 + n)) for n, name in enumerate(ODD_NAMES)]
