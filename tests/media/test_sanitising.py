"""What becomes of a good photo: upright, sRGB, small enough, and nothing in it but the picture."""

import hashlib
import io
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from PIL import Image, ImageCms

from inference.media import Frame, Limits, Sanitised, sanitise
from tests.media import files

RED, BLUE = (230, 20, 20), (20, 20, 230)


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def close(colour: object, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(np.asarray(colour, int), wanted)).max() < 25)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_photo_comes_through(format_: str) -> None:
    data = files.encoded(files.halves(), format_)
    clean = sanitise(data)
    picture = opened(clean.image)
    assert (clean.width, clean.height) == picture.size == (120, 80)
    assert clean.format == format_
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    assert clean.sha256 == hashlib.sha256(data).hexdigest()
    assert clean.frames == (Frame(clean.image, clean.thumbnail, 0.0),)
    assert (clean.clip, clean.duration_s) == (b"", 0.0)
    assert close(picture.getpixel((10, 40)), RED)
    assert close(picture.getpixel((110, 40)), BLUE)


def test_a_large_photo_is_made_smaller_and_keeps_its_shape() -> None:
    clean = sanitise(files.encoded(files.halves(width=3000, height=1500)))
    assert opened(clean.image).size == (clean.width, clean.height) == (2048, 1024)
    assert opened(clean.thumbnail).size == (320, 160)


def test_a_small_photo_is_not_blown_up() -> None:
    clean = sanitise(files.encoded(files.halves(width=64, height=40)))
    assert opened(clean.image).size == opened(clean.thumbnail).size == (64, 40)


@pytest.mark.parametrize(
    ("orientation", "size", "red", "blue"),
    [
        (1, (120, 80), (10, 40), (110, 40)),
        (3, (120, 80), (110, 40), (10, 40)),
        (6, (80, 120), (40, 10), (40, 110)),
        (8, (80, 120), (40, 110), (40, 10)),
    ],
)
def test_orientation_is_applied(
    orientation: int, size: tuple[int, int], red: tuple[int, int], blue: tuple[int, int]
) -> None:
    clean = sanitise(files.encoded(files.halves(), exif=files.told(orientation)))
    picture = opened(clean.image)
    assert picture.size == (clean.width, clean.height) == size
    assert close(picture.getpixel(red), RED)
    assert close(picture.getpixel(blue), BLUE)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_no_metadata_is_left(format_: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = files.encoded(files.halves(), format_, exif=files.told(), icc_profile=profile)
    assert b"Mrs Secret" in data
    clean = sanitise(data)
    for kept in (clean.image, clean.thumbnail):
        assert b"Secret" not in kept
        assert b"Exif" not in kept
        assert not opened(kept).getexif()
        assert set(opened(kept).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_comment_and_what_is_appended_do_not_come_through() -> None:
    data = files.encoded(files.halves(), comment=files.HTML) + files.HTML
    clean = sanitise(data)
    assert data.count(b"<script>") == 2
    assert b"<script>" not in clean.image + clean.thumbnail


def test_print_colours_become_screen_colours() -> None:
    picture = opened(sanitise(files.encoded(files.halves("CMYK"))).image)
    assert picture.mode == "RGB"
    assert close(picture.getpixel((10, 40)), RED)


def test_sixteen_bits_become_eight() -> None:
    levels = np.asarray(opened(sanitise(files.sixteen_bit_png()).image).convert("L"), int)
    assert levels[32, 0] < 12
    assert abs(levels[32, 32] - 129) < 12
    assert levels[32, 63] > 243


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    picture = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    data = files.encoded(picture.convert("RGBA" if mode == "PA" else mode), "PNG")
    assert close(opened(sanitise(data).image).getpixel((32, 32)), (255, 255, 255))


def test_a_palette_with_a_clear_colour_becomes_white_there() -> None:
    picture = opened(sanitise(files.clear_palette_png()).image)
    assert close(picture.getpixel((10, 40)), (255, 255, 255))
    assert close(picture.getpixel((110, 40)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_every_mode_can_be_made_smaller(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((1200, 2400), 30_000, np.uint16))
    else:
        picture = files.halves(mode, width=2400, height=1200)
    assert sanitise(files.encoded(picture, "PNG")).width == 2048


def test_a_profile_is_applied() -> None:
    """In the colour space of this profile red and blue have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    plain = Image.new("RGB", (64, 64), (120, 90, 60))
    shown = opened(sanitise(files.encoded(plain, "PNG", icc_profile=swapped)).image)
    assert close(shown.getpixel((32, 32)), (60, 90, 120))


def test_a_broken_profile_is_ignored() -> None:
    data = files.encoded(files.halves(), icc_profile=b"no profile at all" * 20)
    assert close(opened(sanitise(data).image).getpixel((10, 40)), RED)


def test_a_phone_s_jpeg_with_several_views_is_its_first_view() -> None:
    views = [files.halves(), Image.new("RGB", (120, 80), "green")]
    data = files.encoded(views[0], "MPO", save_all=True, append_images=views[1:])
    clean = sanitise(data)
    assert clean.format == "JPEG"
    assert close(opened(clean.image).getpixel((10, 40)), RED)


def test_the_same_file_gives_the_same_bytes() -> None:
    data = files.encoded(files.noise())
    assert sanitise(data) == sanitise(data)


def test_limits_are_settings() -> None:
    clean = sanitise(files.encoded(files.noise()), limits=Limits(shown_side=100, thumbnail_side=50))
    assert (clean.width, clean.height) == (100, 75)
    assert opened(clean.thumbnail).size == (50, 38)


def test_what_comes_out_cannot_be_changed() -> None:
    clean = Sanitised(b"", b"", 1, 1, "JPEG", "", (), b"", 0.0)
    with pytest.raises(FrozenInstanceError):
        clean.width = 2  # type: ignore[misc]
