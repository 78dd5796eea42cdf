"""The safe side: looks at a file's first bytes, and has a child process decode the rest."""

import atexit
import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from subprocess import DEVNULL

DECODER = Path(__file__).with_name("decoder.py")
FORK_SERVER = Path(__file__).with_name("forkserver.py")
HEADER = struct.Struct(">I")
MAX_ANSWER = 64 << 20
MAX_HEAD = 2048
MAX_FRAMES = 8
PATIENCE_S = 5.0

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
STILLS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""What a single picture's file calls itself in a container that clips have too."""
OTHERS = (b"BM", b"II*\x00", b"MM\x00*", b"\x1aE\xdf\xa3")
"""BMP, TIFF and Matroska or WebM: known, and not taken."""

SENTENCES = {
    "empty": "This file is empty. Send the photo or clip again.",
    "too_large": "This file is larger than {max_mb} MB. Send a smaller photo or a shorter clip.",
    "not_an_image": (
        "This file is no photo or clip that we can read. "
        "Send a JPEG, PNG or WebP, or a clip as MP4."
    ),
    "unsupported": (
        "This kind of picture cannot be read here. Send a JPEG, PNG or WebP, or a clip as MP4."
    ),
    "animated": "This picture moves. Send a single photo, or the clip as MP4 or GIF.",
    "too_many_pixels": "This picture has over {max_megapixels} megapixels. Send a smaller one.",
    "too_small": "This picture is smaller than {min_side} pixels. Send the photo or clip itself.",
    "truncated": "This file is damaged or was cut off on its way. Send it again.",
    "decoder_failed": (
        "This file could not be read safely. Send it as a new JPEG or PNG, a clip as a shorter MP4."
    ),
    "too_long": "This clip is longer than {max_s} seconds. Send the part that matters.",
    "clip_too_detailed": (
        "The pictures of this clip have over {max_clip_megapixels} megapixels. "
        "Send it in a lower resolution."
    ),
    "no_picture": "There is no picture in this clip. Send a clip with a picture, or a photo.",
    "unsupported_codec": (
        "This clip is packed in a way that cannot be read here. Send it as MP4 (H.264)."
    ),
}


@dataclass(frozen=True)
class Limits:
    """Bytes, pixels, seconds and sides in pixels that are accepted or made; the child's resources.

    Those named `clip_` are for clips. Memory in bytes; `cpu_s` and `wall_s` in seconds.
    """

    max_bytes: int = 25 << 20
    max_pixels: int = 40_000_000
    min_side: int = 32
    shown_side: int = 2048
    thumbnail_side: int = 320
    memory: int = 1 << 30
    cpu_s: int = 10
    wall_s: float = 20.0
    max_s: int = 60
    clip_pixels: int = 9_000_000
    frame_side: int = 1024
    clip_side: int = 640
    clip_cpu_s: int = 60
    clip_wall_s: float = 120.0


@dataclass(frozen=True)
class Frame:
    """One picture that is judged, as JPEG, and its second in the clip (0.0 for a photo)."""

    image: bytes
    thumbnail: bytes
    at_s: float


@dataclass(frozen=True)
class Sanitised:
    """A photo or clip as it may be shown: upright sRGB JPEG bytes without any metadata.

    `frames` are the pictures to judge, in order: of a photo the photo itself. `image` and
    `thumbnail` are those of the middle one, `width` and `height` are those of `image`. `clip` is
    the playback copy of a clip, an MP4 without sound, and b"" for a photo. `sha256` is that of the
    original bytes.
    """

    image: bytes
    thumbnail: bytes
    width: int
    height: int
    format: str
    sha256: str
    frames: tuple[Frame, ...]
    clip: bytes
    duration_s: float


class MediaRejected(ValueError):
    """The file is not taken; the message says what to do.

    It is SENTENCES[code] with `values` put in.
    """

    def __init__(self, code: str, limits: Limits) -> None:
        self.code = code
        self.values = {
            "max_mb": limits.max_bytes >> 20,
            "max_megapixels": limits.max_pixels // 1_000_000,
            "max_clip_megapixels": limits.clip_pixels // 1_000_000,
            "min_side": limits.min_side,
            "max_s": limits.max_s,
        }
        super().__init__(SENTENCES[code].format(**self.values))


def sanitise(data: bytes, *, limits: Limits | None = None) -> Sanitised:
    """Decode a photo or clip in a child process without rights to anything, and re-encode it.

    Raises:
        MediaRejected: it is neither, damaged, or beyond the limits; a decoder that crashes, hangs
            or runs out of memory counts as such.
    """
    limits = limits or Limits()
    kind = _kind(data)
    if code := _refused_by_its_bytes(data, kind, limits):
        raise MediaRejected(code, limits)
    answer = _decode(data, kind, limits)
    if answer.error:
        raise MediaRejected(answer.error, limits)
    middle = answer.frames[len(answer.frames) // 2]
    return Sanitised(
        image=middle.image,
        thumbnail=middle.thumbnail,
        width=answer.width,
        height=answer.height,
        format=answer.format,
        sha256=hashlib.sha256(data).hexdigest(),
        frames=answer.frames,
        clip=answer.clip,
        duration_s=answer.duration_s,
    )


@dataclass(frozen=True)
class _Answer:
    """What the child said; believed only as far as it has been checked."""

    error: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    frames: tuple[Frame, ...] = ()
    clip: bytes = b""
    duration_s: float = 0.0


def _kind(data: bytes) -> str:
    """ "photo", the container of a clip ("gif", "avi", "mp4"), or "" for anything else."""
    riff = data[8:12] if data[:4] == b"RIFF" else b""
    if data.startswith((JPEG, PNG)) or riff == b"WEBP":
        return "photo"
    if data.startswith(b"GIF8"):
        return "gif"
    if riff == b"AVI ":
        return "avi"
    return "mp4" if data[4:8] in QUICKTIME and data[8:12] not in STILLS else ""


def _refused_by_its_bytes(data: bytes, kind: str, limits: Limits) -> str:
    if not data:
        return "empty"
    if len(data) > limits.max_bytes:
        return "too_large"
    if kind:
        return ""
    known = data[4:8] == b"ftyp" or data.startswith(OTHERS)
    return "unsupported" if known else "not_an_image"


def _decode(data: bytes, kind: str, limits: Limits) -> _Answer:
    """Ask a fresh process, which shares nothing with this one but a socket.

    An answer is whole or it is none; how the process ends after it does not count.
    """
    if kind != "photo":
        limits = replace(limits, cpu_s=limits.clip_cpu_s, wall_s=limits.clip_wall_s)
    try:
        with _child((kind, json.dumps(asdict(limits)))) as talk:
            return _unpack(_converse(talk, data, limits.wall_s + PATIENCE_S), kind)
    except (OSError, ValueError, TypeError, struct.error) as error:
        raise MediaRejected("decoder_failed", limits) from error


class _ForkServer:
    """The other end of `forkserver`: starts children of one program for this process."""

    def __init__(self, program: Path) -> None:
        self._program, self._owner = program, os.getpid()
        self._link, theirs = socket.socketpair()
        self._link.settimeout(PATIENCE_S)
        command = (sys.executable, "-I", str(FORK_SERVER), str(program))
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=DEVNULL,
                stderr=DEVNULL,
                env={},
                close_fds=True,
            )

    def fork(self, arguments: tuple[str, ...]) -> tuple[socket.socket, int]:
        """A socket to a new child, and its leash: it ends at the latest when that is closed.

        Raises:
            OSError: the server has ended, or has no room for a child.
        """
        (talk, theirs), (its_leash, leash) = socket.socketpair(), os.pipe()
        try:
            order = json.dumps(arguments).encode()
            socket.send_fds(self._link, [order], [theirs.fileno(), its_leash])
            if not self._link.recv(1):
                raise BrokenPipeError("the fork server has ended")
        except OSError:
            talk.close()
            os.close(leash)
            raise
        finally:
            theirs.close()
            os.close(its_leash)
        return talk, leash

    def serves(self, program: Path) -> bool:
        """Whether it was started by this process, and not by one that this was forked from."""
        return (self._program, self._owner) == (program, os.getpid())

    def close(self) -> None:
        """It ends with its last child."""
        self._link.close()

    def leave(self) -> None:
        self.close()
        threading.Thread(target=self._process.wait, daemon=True).start()


_server: _ForkServer | None = None
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def _child(arguments: tuple[str, ...]) -> Iterator[socket.socket]:
    """A child of this process's server; of a new one where there is none, or it has ended."""
    with _one_at_a_time:
        talk, leash = _forked(arguments)
    try:
        with talk:
            yield talk
    finally:
        os.close(leash)


def _forked(arguments: tuple[str, ...]) -> tuple[socket.socket, int]:
    global _server
    if _server and _server.serves(DECODER):
        with contextlib.suppress(OSError):
            return _server.fork(arguments)
    leave_server()
    _server = _ForkServer(DECODER)
    return _server.fork(arguments)


def leave_server() -> None:
    """The next file is decoded by a child of a new server."""
    global _server
    if _server:
        _server.leave()
    _server = None


@atexit.register
def _close_server() -> None:
    """No thread begins as the interpreter ends; the server ends by itself."""
    if _server:
        _server.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            _server._process.wait(1)


def _converse(talk: socket.socket, data: bytes, patience_s: float) -> bytes:
    """Send the file, take the answer, and no more of it than an answer may be.

    Raises:
        TimeoutError: it was not done in time, whatever has become of server and child.
    """
    until = time.monotonic() + patience_s
    talk.settimeout(patience_s)
    talk.sendall(data)
    talk.shutdown(socket.SHUT_WR)
    answer = bytearray()
    while True:
        talk.settimeout(max(0.01, until - time.monotonic()))
        part = talk.recv(1 << 20)
        if not part:
            return bytes(answer)
        answer += part
        if len(answer) > MAX_ANSWER:
            raise ValueError("the decoder said too much")


def _unpack(answer: bytes, kind: str) -> _Answer:
    """The head's length, the head, and the parts whose sizes it lists."""
    (length,) = HEADER.unpack_from(answer)
    if length > MAX_HEAD:
        raise ValueError("the decoder's head is too long")
    body = HEADER.size + length
    head = json.loads(answer[HEADER.size : body])
    if not isinstance(head, dict):
        raise ValueError("the decoder gave no head")
    if error := head.get("error", ""):
        return _Answer(error if error in SENTENCES else "decoder_failed")
    clip, *pictures = _parts(answer[body:], head.get("sizes"))
    if clip[4:8] != (b"" if kind == "photo" else b"ftyp"):
        raise ValueError("the decoder gave no clip, or one of a photo")
    return _Answer(
        width=int(head.get("width", 0)),
        height=int(head.get("height", 0)),
        format=str(head.get("format", ""))[:8],
        frames=_frames(pictures, head.get("times")),
        clip=clip,
        duration_s=float(head.get("duration_s", 0.0)),
    )


def _parts(body: bytes, sizes: object) -> list[bytes]:
    if not isinstance(sizes, list) or not all(isinstance(s, int) and s >= 0 for s in sizes):
        raise ValueError("the decoder gave no sizes")
    if not sizes or sum(sizes) != len(body):
        raise ValueError("the decoder did not finish")
    ends = list(accumulate(sizes))
    return [body[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _frames(pictures: list[bytes], times: object) -> tuple[Frame, ...]:
    """Picture, thumbnail, picture, thumbnail, with the second of each."""
    if not isinstance(times, list) or not 0 < 2 * len(times) == len(pictures) <= 2 * MAX_FRAMES:
        raise ValueError("the decoder gave no frames")
    if not all(picture.startswith(JPEG) for picture in pictures):
        raise ValueError("the decoder gave no pictures")
    triples = zip(pictures[::2], pictures[1::2], times, strict=True)
    return tuple(Frame(image, small, float(at)) for image, small, at in triples)
