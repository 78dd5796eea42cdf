"""Small pictures as bytes."""

import io

from PIL import Image


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def photo(colour: tuple[int, int, int] = (180, 120, 100), side: int = 64) -> bytes:
    """A plain JPEG; another colour is another photo."""
    return jpeg(Image.new("RGB", (side, side), colour))
