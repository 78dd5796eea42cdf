"""The unsafe side: a program of its own, run by `sanitising` with limits and nothing to reach.

Reads the file's bytes from standard input, writes lengths, a JSON head and two JPEGs to standard
output. It imports nothing of this project.
"""

import copy
import io
import json
import resource
import struct
import sys
import zlib
from typing import Any

from PIL import Image, ImageCms, ImageOps, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

LOADED = (copy, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""What Pillow would load when it meets them: after `confine` no file can be opened any more."""

SHOWN = ("JPEG", "PNG", "WEBP")
KNOWN = (*SHOWN, "GIF")
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

Answer = tuple[dict[str, Any], bytes, bytes]
"""Head, shown picture, thumbnail; the head has "error" where the file is refused."""


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


def decode(data: bytes, limits: dict[str, Any]) -> Answer:
    """Everything about one file. MemoryError and bugs of the decoders are left to end the child."""
    Image.MAX_IMAGE_PIXELS = None  # the cap below is stricter, and no warning
    try:
        picture = Image.open(io.BytesIO(data), formats=KNOWN)
        if error := refused(picture, limits):
            return {"error": error}, b"", b""
        picture.draft("RGB", (limits["shown_side"], limits["shown_side"]))
        picture.load()
    except DAMAGED:
        return {"error": "truncated"}, b"", b""
    format_ = "JPEG" if picture.format == "MPO" else picture.format
    shown = flattened(to_srgb(fitted(ImageOps.exif_transpose(picture), limits["shown_side"])))
    head = {"width": shown.width, "height": shown.height, "format": format_}
    return head, jpeg(shown), jpeg(fitted(shown, limits["thumbnail_side"]))


def refused(picture: Image.Image, limits: dict[str, Any]) -> str:
    """The error's code, found before anything is decoded; "" if there is none.

    MPO is what phones call a JPEG with further views in it: its first one is the photo.
    """
    width, height = picture.size
    if width * height > limits["max_pixels"]:
        return "too_many_pixels"
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        return "animated"
    if picture.format not in (*SHOWN, "MPO"):
        return "unsupported"
    return "too_small" if min(width, height) < limits["min_side"] else ""


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """A picture whose longer side is at most `side`."""
    share = side / max(picture.size)
    if share >= 1:
        return picture
    width, height = (max(1, round(length * share)) for length in picture.size)
    if picture.mode in ("1", "P", "PA"):  # cannot be blended as they are
        picture = picture.convert("RGBA" if has_alpha(picture) else "RGB")
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


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


def main() -> None:
    limits = json.loads(sys.argv[1])
    Image.preinit()
    confine(limits)
    words, image, thumbnail = decode(sys.stdin.buffer.read(limits["max_bytes"] + 1), limits)
    head = json.dumps(words).encode()
    out = sys.stdout.buffer
    out.write(struct.pack(">III", len(head), len(image), len(thumbnail)))
    for part in (head, image, thumbnail):
        out.write(part)
    out.flush()


if __name__ == "__main__":
    main()
