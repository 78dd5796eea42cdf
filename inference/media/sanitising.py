"""The safe side: looks at a file's first bytes, and has a child process decode the rest."""

import hashlib
import json
import struct
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

DECODER = Path(__file__).with_name("decoder.py")
HEADER = struct.Struct(">III")
MAX_ANSWER = 64 << 20
MAX_HEAD = 256
JPEG = b"\xff\xd8\xff"

SENTENCES = {
    "empty": "This file is empty. Send the photo again.",
    "too_large": "This file is larger than {max_mb} MB. Send a smaller photo.",
    "not_an_image": "This file is no photo that we can read. Send a JPEG, PNG or WebP.",
    "unsupported": "This kind of picture cannot be read here. Send a JPEG, PNG or WebP.",
    "animated": "This picture moves. Send a single photo as JPEG, PNG or WebP.",
    "too_many_pixels": "This picture has over {max_megapixels} megapixels. Send a smaller one.",
    "too_small": "This picture is smaller than {min_side} pixels. Send the photo itself.",
    "truncated": "This photo is damaged or was cut off on its way. Send it again.",
    "decoder_failed": "This photo could not be read safely. Send it as a new JPEG or PNG.",
}


@dataclass(frozen=True)
class Limits:
    """Bytes, pixels and sides in pixels that are accepted; memory and seconds of the child."""

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
    answer = _decode(data, limits)
    if answer.error:
        raise MediaRejected(answer.error, limits)
    return Sanitised(
        image=answer.image,
        thumbnail=answer.thumbnail,
        width=answer.width,
        height=answer.height,
        format=answer.format,
        sha256=hashlib.sha256(data).hexdigest(),
    )


@dataclass(frozen=True)
class _Answer:
    """What the child said; believed only as far as it has been checked."""

    error: str
    width: int
    height: int
    format: str
    image: bytes
    thumbnail: bytes


def _refused_by_its_bytes(data: bytes, limits: Limits) -> str:
    if not data:
        return "empty"
    if len(data) > limits.max_bytes:
        return "too_large"
    known = data.startswith((JPEG, b"\x89PNG\r\n\x1a\n", b"GIF8"))
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if known or webp:
        return ""
    pictures = (b"BM", b"II*\x00", b"MM\x00*")
    container = data[4:8] == b"ftyp"
    return "unsupported" if container or data.startswith(pictures) else "not_an_image"


def _decode(data: bytes, limits: Limits) -> _Answer:
    """Ask a fresh interpreter, which shares nothing with this one but two pipes."""
    command = (sys.executable, "-I", str(DECODER), json.dumps(asdict(limits)))
    child = subprocess.Popen(
        command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, close_fds=True
    )
    patience = threading.Timer(limits.wall_s, child.kill)
    patience.start()
    try:
        return _unpack(_converse(child, data))
    except (OSError, ValueError, TypeError, struct.error) as error:
        raise MediaRejected("decoder_failed", limits) from error
    finally:
        patience.cancel()
        child.kill()
        child.wait()


def _converse(child: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Send the file, take the answer, and no more of it than an answer may be."""
    with child:
        assert child.stdin and child.stdout
        with child.stdin as ears:
            ears.write(data)
        answer = child.stdout.read(MAX_ANSWER + 1)
        if len(answer) > MAX_ANSWER:
            child.kill()
            raise ValueError("the decoder said too much")
    if child.returncode:
        raise ValueError(f"the decoder ended with {child.returncode}")
    return answer


def _unpack(answer: bytes) -> _Answer:
    """Lengths of head, image and thumbnail, then the three."""
    head_size, image_size, thumbnail_size = HEADER.unpack_from(answer)
    body = HEADER.size + head_size
    if len(answer) != body + image_size + thumbnail_size or head_size > MAX_HEAD:
        raise ValueError("the decoder did not finish")
    head = json.loads(answer[HEADER.size : body])
    if not isinstance(head, dict):
        raise ValueError("the decoder gave no head")
    image, thumbnail = answer[body : body + image_size], answer[body + image_size :]
    if error := head.get("error", ""):
        return _Answer(error if error in SENTENCES else "decoder_failed", 0, 0, "", b"", b"")
    if not (image.startswith(JPEG) and thumbnail.startswith(JPEG)):
        raise ValueError("the decoder gave no pictures")
    width, height = int(head.get("width", 0)), int(head.get("height", 0))
    return _Answer("", width, height, str(head.get("format", ""))[:8], image, thumbnail)
