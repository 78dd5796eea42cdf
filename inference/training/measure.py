"""What pixels say about a picture, in numbers: the ground of the members' descriptions.

Every measurement weighs the middle of the picture more than its rim, and none needs a sharp
outline: what stands out is what differs in colour from the rim, by degrees. So they change steadily
with the picture, and a small model can learn to see them.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 96  # pictures are measured at this size
SPREAD = 0.6  # standard deviation of the weight, in half sides
RIM = 0.8  # from here outwards, in half sides, the rim
DIFFERENT, SOFT = 24.0, 4.0  # colour difference (CIELAB units) from which something stands out
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Measurements:
    """Eight numbers of one picture, weighted towards its middle.

    area        share that differs from the rim's colour, 0..1
    length      of the ellipse with that area and with the proportions of that share's second
                moments, in sides of the picture, >= 0
    edge        mean lightness gradient, >= 0
    texture     mean local standard deviation of lightness, >= 0
    darkness    100 minus mean lightness, 0..100
    redness     mean red-green coordinate a* of CIELAB (positive is red)
    warmth      mean blue-yellow coordinate b* of CIELAB (positive is yellow)
    colour      mean distance from grey in CIELAB, >= 0
    """

    area: float
    length: float
    edge: float
    texture: float
    darkness: float
    redness: float
    warmth: float
    colour: float


NAMES = tuple(field.name for field in fields(Measurements))
LEVELS = 3


def measure(image: Image.Image) -> Measurements:
    """Measurements of one RGB picture of any size."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    lab = _lab(np.asarray(small, dtype=np.float64) / 255.0)
    weight = _WEIGHT / _WEIGHT.sum()
    standing_out = weight * _standing_out(lab)
    light = lab[..., 0]
    smooth = ndimage.gaussian_filter(light, 0.8)
    gradient = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)) / 8.0
    local = ndimage.uniform_filter(light, 5)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(light**2, 5) - local**2, 0.0))
    return Measurements(
        area=float(standing_out.sum()),
        length=_length(standing_out),
        edge=float((gradient * weight).sum()),
        texture=float((spread * weight).sum()),
        darkness=float(100.0 - (light * weight).sum()),
        redness=float((lab[..., 1] * weight).sum()),
        warmth=float((lab[..., 2] * weight).sum()),
        colour=float((np.hypot(lab[..., 1], lab[..., 2]) * weight).sum()),
    )


_AXIS = np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 2)
_WEIGHT = np.exp(-0.5 * ((_AXIS[:, None] / SPREAD) ** 2 + (_AXIS[None, :] / SPREAD) ** 2))
_ON_RIM = np.maximum(_AXIS[:, None], _AXIS[None, :]) > RIM


def _lab(rgb: FloatArray) -> FloatArray:
    """CIELAB (D65) of sRGB values in 0..1, any shape ending in 3."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    lightness = 116.0 * f[..., 1] - 16.0
    a, b = 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])
    return np.stack([lightness, a, b], axis=-1)


def _standing_out(lab: FloatArray) -> FloatArray:
    """How far each pixel differs from the rim's median colour, 0..1; redness counts most."""
    smooth = ndimage.gaussian_filter(lab, (1.2, 1.2, 0.0))
    away = (smooth - np.median(smooth[_ON_RIM], axis=0)) * np.array([0.6, 1.2, 0.8])
    distance = np.sqrt((away**2).sum(axis=-1))
    return np.asarray(1.0 / (1.0 + np.exp(-(distance - DIFFERENT) / SOFT)))


def _length(weight: FloatArray) -> float:
    area = weight.sum()
    share = weight / area
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    rows -= (share * rows).sum()
    columns -= (share * columns).sum()
    cross = (share * rows * columns).sum()
    spread = np.array([[(share * rows**2).sum(), cross], [cross, (share * columns**2).sum()]])
    least, most = np.linalg.eigvalsh(spread + 0.1 * np.eye(2))
    return float(2.0 * np.sqrt(area / np.pi * np.sqrt(most / least)))


def thresholds(measured: FloatArray) -> FloatArray:
    """Terciles (a, 2) of measurements (n, a): the borders between low, middle and high."""
    return np.quantile(measured, [1 / 3, 2 / 3], axis=0).T


def levels(measured: FloatArray, borders: FloatArray) -> NDArray[np.int64]:
    """Level 0, 1 or 2 of each measurement: (..., a) from measurements (..., a), borders (a, 2)."""
    return np.asarray((measured[..., None] > borders).sum(axis=-1))


def measure_all(images: list[Image.Image]) -> FloatArray:
    """Measurements of several pictures as rows (n, 8), columns in the order of NAMES."""
    return np.array([astuple(measure(image)) for image in images])
