"""The word that tells a drawing from a photo."""

from functools import cache

from PIL import Image, ImageDraw, ImageFont

WORD = "drawing"


def mark(picture: Image.Image, word: str = WORD) -> Image.Image:
    """`picture` with a small label in its lower right corner, readable on any ground."""
    marked = picture.convert("RGB")
    height = max(9, marked.height // 32)
    font = _font(height)
    left, top, right, bottom = font.getbbox(word)
    pad = height // 3
    wide, tall = right - left + 2 * pad, bottom - top + 2 * pad
    x, y = marked.width - wide - pad, marked.height - tall - pad
    plate = Image.new("RGB", (round(wide), round(tall)), (32, 36, 40))
    pen = ImageDraw.Draw(plate)
    pen.text((pad - left, pad - top), word, font=font, fill=(235, 238, 240))
    marked.paste(plate, (round(x), round(y)), Image.new("L", plate.size, 150))
    return marked


@cache
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=height)
