"""The unsafe side: a program of its own, run by `sanitising` with limits and nothing to reach.

Reads the file's bytes from standard input, writes a JSON head and the parts that it lists to
standard output. It imports nothing of this project.
"""

from __future__ import annotations

import copy
import io
import json
import resource
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import (
    Image,
    ImageChops,
    ImageCms,
    ImageOps,
    MpoImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

if TYPE_CHECKING:  # a photo needs no ffmpeg: it is loaded for a clip alone
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

LOADED = (copy, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""What Pillow would load when it meets them: after `confine` no file can be opened any more."""

SHOWN = ("JPEG", "PNG", "WEBP")
QUALITY = 90
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
)

CODECS = ("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mjpeg", "h263", "gif")
"""What cameras and phones write; ffmpeg knows some hundred more, each a way in."""

CLIP_FPS = 12
"""Frames a second that are looked at and that the playback copy has; at most one in each slot."""

QUARTERS = 4
MOTION_SIDE = 48
SPARE_S = 1.0
"""A camera's minute is often a little longer than one."""

TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}

Answer = tuple[dict[str, Any], list[bytes]]
"""Head and parts: the playback copy (empty for a photo), then shown picture and thumbnail of each
frame. The head has "error" where the file is refused."""


class Refusal(Exception):
    """The file is not taken; its text is the code of a sentence."""


class Moment(NamedTuple):
    """A frame of a clip: seconds from its beginning, change against the one before, picture."""

    at_s: float
    change: float
    picture: Image.Image


def confine(limits: dict[str, Any]) -> None:
    """No file or socket may be opened, no process started, and memory and time end."""
    for what, most in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def decode(data: bytes, kind: str, limits: dict[str, Any]) -> Answer:
    """Everything about one file. MemoryError and bugs of the decoders are left to end the child."""
    try:
        return photo(data, limits) if kind == "photo" else clip(data, kind, limits)
    except Refusal as error:
        return {"error": str(error)}, []


# Photos -------------------------------------------------------------------------------------------


def photo(data: bytes, limits: dict[str, Any]) -> Answer:
    Image.MAX_IMAGE_PIXELS = None  # the cap below is stricter, and no warning
    try:
        picture = Image.open(io.BytesIO(data), formats=SHOWN)
        if error := refused(picture, limits):
            raise Refusal(error)
        picture.draft("RGB", (limits["shown_side"], limits["shown_side"]))
        picture.load()
    except DAMAGED:
        raise Refusal("truncated") from None
    format_ = "JPEG" if picture.format == "MPO" else str(picture.format)
    shown = flattened(to_srgb(fitted(ImageOps.exif_transpose(picture), limits["shown_side"])))
    return answer(format_, [Moment(0.0, 0.0, shown)], limits)


def answer(
    format_: str,
    moments: list[Moment],
    limits: dict[str, Any],
    playback: bytes = b"",
    duration: float = 0.0,
) -> Answer:
    """Head and parts; size is that of the middle frame."""
    width, height = moments[len(moments) // 2].picture.size
    parts = [playback]
    for moment in moments:
        parts.append(jpeg(moment.picture))
        parts.append(jpeg(fitted(moment.picture, limits["thumbnail_side"])))
    times = [round(moment.at_s, 3) for moment in moments]
    head = {"width": width, "height": height, "format": format_, "duration_s": duration}
    return head | {"times": times}, parts


def refused(picture: Image.Image, limits: dict[str, Any]) -> str:
    """The error's code, found before anything is decoded; "" if there is none.

    MPO is what phones call a JPEG with further views in it: its first one is the photo.
    """
    width, height = picture.size
    if width * height > limits["max_pixels"]:
        return "too_many_pixels"
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        return "animated"
    return "too_small" if min(width, height) < limits["min_side"] else ""


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """A picture whose longer side is at most `side`."""
    size = size_within(side, *picture.size)
    if size == picture.size:
        return picture
    if picture.mode in ("1", "P", "PA"):  # cannot be blended as they are
        picture = picture.convert("RGBA" if has_alpha(picture) else "RGB")
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def size_within(side: int, width: int, height: int) -> tuple[int, int]:
    """The size of a picture whose longer side is at most `side`."""
    share = min(1.0, side / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def to_srgb(picture: Image.Image) -> Image.Image:
    """Colours as a browser would show them; a broken profile is ignored."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or picture
    except (ImageCms.PyCMSError, *DAMAGED):
        return picture


def flattened(picture: Image.Image) -> Image.Image:
    """Plain RGB: transparent becomes white, 16-bit greys become 8-bit ones, no metadata is left."""
    plain = Image.new("RGB", picture.size, "white")
    if picture.mode.startswith("I"):
        picture = picture.point(lambda value: value / 256).convert("L")
    if has_alpha(picture):
        layer = picture.convert("RGBA")
        plain.paste(layer, mask=layer)
    else:
        plain.paste(picture.convert("RGB"))
    return plain


def has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


# Clips --------------------------------------------------------------------------------------------


def load_ffmpeg() -> None:
    """With all that PyAV would load when it meets it: after `confine` it is too late."""
    import av.audio.codeccontext
    import av.audio.stream
    import av.subtitles.codeccontext
    import av.subtitles.stream
    import av.video.stream  # noqa: F401


def clip(data: bytes, kind: str, limits: dict[str, Any]) -> Answer:
    """The frames to judge and the playback copy of a clip."""
    import av

    try:
        if cut_off(data, kind):
            raise Refusal("truncated")
        times, duration = timetable(data, kind, limits)
        if kind == "gif" and len(times) == 1:
            raise Refusal("unsupported")
        playback, chosen = recoded(data, kind, times, duration, limits)
    except MemoryError:
        raise
    except (av.FFmpegError, *DAMAGED):
        raise Refusal("truncated") from None
    if not chosen:
        raise Refusal("truncated")
    return answer(kind.upper(), chosen, limits, playback, round(duration, 3))


def cut_off(data: bytes, kind: str) -> bool:
    """Whether the file is shorter than it says it is; a demuxer would show what there is."""
    if kind == "gif":
        return not data.rstrip(b"\0").endswith(b";")
    if kind == "avi":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4])
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16])
        if size < 8:  # 0 is "up to the end"
            return False
        place += size
    return place > len(data)


def demuxed(data: bytes, kind: str) -> InputContainer:
    import av

    return av.open(
        io.BytesIO(data), "r", format=kind, options={"codec_whitelist": ",".join(CODECS)}
    )


def pictures_of(container: InputContainer, limits: dict[str, Any]) -> VideoStream:
    """The stream with the moving pictures, ready to be decoded without threads."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise Refusal("no_picture")
    codec = streams[0].codec_context
    if codec is None or codec.name not in CODECS:
        raise Refusal("unsupported_codec")
    check_size(codec.width, codec.height, limits)
    codec.thread_count = 1
    codec.options = {"max_pixels": str(limits["clip_pixels"])}
    return streams[0]


def check_size(width: int, height: int, limits: dict[str, Any]) -> None:
    if not (width and height):  # ffmpeg's word for a size that cannot be
        raise Refusal("truncated")
    if width * height > limits["clip_pixels"]:
        raise Refusal("clip_too_detailed")
    if min(width, height) < limits["min_side"]:
        raise Refusal("too_small")


def timetable(data: bytes, kind: str, limits: dict[str, Any]) -> tuple[list[float], float]:
    """The second of each frame from the first one on, in order, and the duration.

    No frame is decoded, and what the file claims of its duration is not asked. The last frame lasts
    as long as the mean one.
    """
    times = []
    with demuxed(data, kind) as container:
        for packet in container.demux(pictures_of(container, limits)):
            at = packet.dts if packet.pts is None else packet.pts
            if at is not None and not packet.is_discard:
                times.append(float(at * packet.time_base))
    if not times:
        raise Refusal("no_picture")
    times.sort()
    seconds = [at - times[0] for at in times]
    duration = seconds[-1] + seconds[-1] / max(len(seconds) - 1, 1)
    if duration > limits["max_s"] + SPARE_S:
        raise Refusal("too_long")
    return seconds, duration


def recoded(
    data: bytes, kind: str, times: list[float], duration: float, limits: dict[str, Any]
) -> tuple[bytes, list[Moment]]:
    """The playback copy and the frames to judge, in one pass that holds few frames at a time."""
    playback = Playback(duration, limits["clip_side"])
    with demuxed(data, kind) as container:
        frames = upright(container, times, limits)
        chosen = choose(playback.following(moving(frames)), duration)
    return playback.finished(), chosen


def upright(
    container: InputContainer, times: list[float], limits: dict[str, Any]
) -> Iterator[tuple[float, Image.Image]]:
    """Second and picture of the first frame in each slot of time.

    Decoders give frames in the order of time, but not always (AVI) with the right time on them.
    """
    slot = -1
    decoded: Iterator[Any] = container.decode(pictures_of(container, limits))
    for at, frame in zip(times, decoded, strict=False):
        if int(at * CLIP_FPS + 1e-6) <= slot:
            continue
        slot = int(at * CLIP_FPS + 1e-6)
        check_size(frame.width, frame.height, limits)
        width, height = size_within(limits["frame_side"], frame.width, frame.height)
        picture = frame.to_image(width=width, height=height, interpolation="AREA", threads=1)
        turn = TURNS.get(round(frame.rotation) % 360)
        yield at, picture if turn is None else picture.transpose(turn)


def moving(frames: Iterable[tuple[float, Image.Image]]) -> Iterator[Moment]:
    """Frames with how much each differs from the one before, in grey levels, 0 to 255."""
    before = None
    for at, picture in frames:
        small = picture.resize((MOTION_SIDE, MOTION_SIDE), Image.Resampling.BOX).convert("L")
        difference = ImageChops.difference(small, before or small)
        yield Moment(at, sum(difference.tobytes()) / MOTION_SIDE**2, picture)
        before = small


def choose(moments: Iterable[Moment], duration: float) -> list[Moment]:
    """Of each quarter the frame nearest its middle, and of the others the one that changed most.

    At most eight, in the order of time; all of a clip with so few frames in each quarter. A still
    clip gives evenly spaced ones.
    """
    length = max(duration, 1e-9) / QUARTERS
    middles: dict[int, Moment] = {}
    liveliest: dict[int, list[Moment]] = {}
    for moment in moments:
        quarter = min(int(moment.at_s / length + 1e-6), QUARTERS - 1)
        middle = (quarter + 0.5) * length
        nearest = middles.setdefault(quarter, moment)
        middles[quarter] = min(nearest, moment, key=lambda known: abs(known.at_s - middle))
        most = [*liveliest.get(quarter, []), moment]
        liveliest[quarter] = sorted(most, key=lambda known: -known.change)[:2]
    chosen = []
    for quarter, middle_one in middles.items():
        others = [known for known in liveliest[quarter] if known is not middle_one]
        chosen += [middle_one, *others[:1]]
    return sorted(chosen, key=lambda known: known.at_s)


class Playback:
    """The playback copy: small, without sound, with nothing in it but the pictures."""

    def __init__(self, duration: float, side: int) -> None:
        import av

        self.side = side
        self.buffer = io.BytesIO()
        # Room for the index in front of the pictures, so that a browser can play at once.
        room = 4096 + 40 * (int(duration * CLIP_FPS) + 2)
        options = {"moov_size": str(room), "fflags": "+bitexact"}
        self.file: OutputContainer = av.open(self.buffer, "w", format="mp4", options=options)
        self.stream: VideoStream | None = None

    def following(self, moments: Iterable[Moment]) -> Iterator[Moment]:
        """The same moments, each written on its way."""
        for moment in moments:
            self.add(moment)
            yield moment

    def add(self, moment: Moment) -> None:
        import av

        if self.stream is None:
            self.stream = self.begun(*size_within(self.side, *moment.picture.size))
        size = (self.stream.width, self.stream.height)
        small = moment.picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        frame = av.VideoFrame.from_image(small)  # type: ignore[no-untyped-call]
        frame = frame.reformat(format="yuv420p", threads=1)
        frame.pts = round(moment.at_s * 1000)
        frame.time_base = Fraction(1, 1000)
        self.write(frame)

    def begun(self, width: int, height: int) -> VideoStream:
        options = {"preset": "veryfast", "crf": "26", "bf": "0", "g": str(2 * CLIP_FPS)}
        stream = self.file.add_stream("libx264", rate=CLIP_FPS, options=options)
        stream.width, stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        return stream

    def write(self, frame: Any) -> None:
        """One frame, or None when there are no more."""
        assert self.stream
        for packet in self.stream.encode(frame):
            packet.duration = 1000 // CLIP_FPS  # of use to the last one
            self.file.mux(packet)

    def finished(self) -> bytes:
        if self.stream is None:
            return b""
        self.write(None)
        self.file.close()
        return self.buffer.getvalue()


def main() -> None:
    kind, limits = sys.argv[1], json.loads(sys.argv[2])
    Image.preinit()
    if kind != "photo":
        load_ffmpeg()
    confine(limits)
    words, parts = decode(sys.stdin.buffer.read(limits["max_bytes"] + 1), kind, limits)
    head = json.dumps(words | {"sizes": [len(part) for part in parts]}).encode()
    out = sys.stdout.buffer
    out.write(struct.pack(">I", len(head)))
    for part in (head, *parts):
        out.write(part)
    out.flush()


if __name__ == "__main__":
    main()
