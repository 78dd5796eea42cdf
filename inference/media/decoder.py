"""The unsafe side: a program of its own, run by `sanitising` with limits and nothing to reach.

Reads the file's bytes from standard input, writes lengths, a JSON head and two JPEGs to standard output.
It imports nothing of this project.
"""

import io
import json
import resource
import struct
import sys
import warnings
from typing import Any

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
QUALITY = 92


def confine(limits: dict[str, Any]) -> None:
    """No file may be written, no process started, and memory and time end."""
    for what, most in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def decode(data: bytes, limits: dict[str, Any]) -> tuple[dict[str, Any], bytes, bytes]:
    """Head, shown picture, thumbnail; a head with "error" where the file is refused."""
    Image.MAX_IMAGE_PIXELS = None  # the cap below is stricter, and no warning
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return {"error": "not_an_image"}, b"", b""
    if error := refused(picture, limits):
        return {"error": error}, b"", b""
    try:
        picture.draft("RGB", (limits["shown_side"], limits["shown_side"]))
        picture.load()
    except MemoryError:
        return {"error": "too_many_pixels"}, b"", b""
    except (OSError, SyntaxError, ValueError, struct.error, IndexError, EOFError):
        return {"error": "truncated"}, b"", b""
    upright = flattened(to_srgb(ImageOps.exif_transpose(picture)))
    shown = fitted(upright, limits["shown_side"])
    head = {"width": shown.width, "height": shown.height, "format": picture.format}
    return head, jpeg(shown), jpeg(fitted(upright, limits["thumbnail_side"]))


def refused(picture: Image.Image, limits: dict[str, Any]) -> str:
    """The error's code, found before anything is decoded; "" if there is none."""
    width, height = picture.size
    if getattr(picture, "is_animated", False):
        return "animated"
    if width * height > limits["max_pixels"]:
        return "too_many_pixels"
    return "too_small" if min(width, height) < limits["min_side"] else ""


def to_srgb(picture: Image.Image) -> Image.Image:
    """Colours as a browser would show them; a broken profile is ignored."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or picture
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture


def flattened(picture: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white, 16-bit greys become 8-bit ones."""
    if picture.mode.startswith("I"):
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """A copy whose longer side is at most `side`, without any metadata."""
    copy = Image.new("RGB", picture.size)
    copy.paste(picture)
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def main() -> None:
    limits = json.loads(sys.argv[1])
    confine(limits)
    warnings.simplefilter("ignore")
    data = sys.stdin.buffer.read(limits["max_bytes"] + 1)
    head, image, thumbnail = decode(data, limits)
    words = json.dumps(head).encode()
    out = sys.stdout.buffer
    out.write(struct.pack(">III", len(words), len(image), len(thumbnail)))
    for part in (words, image, thumbnail):
        out.write(part)
    out.flush()


if __name__ == "__main__":
    main()
