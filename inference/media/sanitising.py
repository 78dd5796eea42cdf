"""The safe side: looks at a file's first bytes, and has a child process decode the rest."""

import hashlib
import json
import struct
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

DECODER = Path(__file__).with_name("decoder.py")
HEADER = struct.Struct(">III")
MAX_ANSWER = 64 << 20

SENTENCES = {
    "empty": "This file is empty. Send the photo again.",
    "too_large": "This file is larger than {max_mb} MB. Send a smaller photo.",
    "not_an_image": "This file is no photo that we can read. Send a JPEG, PNG or WebP.",
    "unsupported": "This kind of picture cannot be read here. Send a JPEG, PNG or WebP.",
    "animated": "This picture moves. Send a single photo as JPEG, PNG or WebP.",
    "too_many_pixels": "This picture has more than {max_megapixels} megapixels. Send a smaller one.",
    "too_small": "This picture is smaller than {min_side} pixels. Send the photo itself.",
    "truncated": "This photo is damaged or was cut off on its way. Send it again.",
    "decoder_failed": "This photo could not be read safely. Send it as a new JPEG or PNG.",
}


@dataclass(frozen=True)
class Limits:
    """What is accepted: bytes, pixels, sides in pixels; memory in bytes and seconds of the child."""

    max_bytes: int = 25 << 20
    max_pixels: int = 40_000_000
    min_side: int = 32
    shown_side: int = 2048
    thumbnail_side: int = 320
    memory: int = 1 << 30
    cpu_s: int = 10
    wall_s: float = 20.0


@dataclass(frozen=True)
class Sanitised:
    """A picture as it may be shown: upright sRGB JPEG bytes without any metadata.

    `sha256` is that of the original bytes; `width` and `height` are those of `image`.
    """

    image: bytes
    thumbnail: bytes
    width: int
    height: int
    format: str
    sha256: str


class MediaRejected(ValueError):
    """The file is not taken; `code` is a key of SENTENCES, the message says what to do."""

    def __init__(self, code: str, limits: Limits) -> None:
        self.code = code
        super().__init__(
            SENTENCES[code].format(
                max_mb=limits.max_bytes >> 20,
                max_megapixels=limits.max_pixels // 1_000_000,
                min_side=limits.min_side,
            )
        )


def sanitise(data: bytes, *, limits: Limits | None = None) -> Sanitised:
    """Decode a photo in a child process without rights to anything, and re-encode it.

    Raises:
        MediaRejected: it is no photo, damaged, or beyond the limits; a decoder that crashes,
            hangs or runs out of memory counts as such.
    """
    limits = limits or Limits()
    if code := _refused_by_its_bytes(data, limits):
        raise MediaRejected(code, limits)
    head, image, thumbnail = _decode(data, limits)
    if error := head.get("error"):
        raise MediaRejected(error if error in SENTENCES else "decoder_failed", limits)
    return Sanitised(
        image=image,
        thumbnail=thumbnail,
        width=int(head["width"]),
        height=int(head["height"]),
        format=str(head["format"]),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _refused_by_its_bytes(data: bytes, limits: Limits) -> str:
    if not data:
        return "empty"
    if len(data) > limits.max_bytes:
        return "too_large"
    known = data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if known or webp:
        return ""
    pictures = (b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
    container = data[4:8] == b"ftyp"
    return "unsupported" if container or data.startswith(pictures) else "not_an_image"


def _decode(data: bytes, limits: Limits) -> tuple[dict[str, str], bytes, bytes]:
    command = (sys.executable, "-I", str(DECODER), json.dumps(asdict(limits)))
    try:
        child = subprocess.run(
            command, input=data, capture_output=True, timeout=limits.wall_s, check=True, env={}
        )
        return _unpack(child.stdout)
    except (subprocess.SubprocessError, ValueError, struct.error) as error:
        raise MediaRejected("decoder_failed", limits) from error


def _unpack(answer: bytes) -> tuple[dict[str, str], bytes, bytes]:
    """Lengths of head, image and thumbnail, then the three."""
    if len(answer) > MAX_ANSWER:
        raise ValueError("the decoder said too much")
    head, image, thumbnail = HEADER.unpack_from(answer)
    if len(answer) != HEADER.size + head + image + thumbnail:
        raise ValueError("the decoder did not finish")
    rest = memoryview(answer)[HEADER.size :]
    return (
        json.loads(bytes(rest[:head])),
        bytes(rest[head : head + image]),
        bytes(rest[head + image :]),
    )
