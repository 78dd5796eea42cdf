"""What pixels say about a wound, in numbers: the ground of the members' descriptions.

The wound is taken to be the most conspicuous patch near the middle of the picture: pixels whose
colour is far from the picture's median, weighted towards the centre, cut by Otsu's threshold.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

WORK_SIDE = 160
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Measurements:
    """Six numbers of one picture; the wound's, unless said.

    area        share of the picture, 0..1
    elongation  length over width of the ellipse with the same second moments, >= 1
    edge        mean lightness gradient along the border, >= 0
    texture     mean local standard deviation of lightness, >= 0
    darkness    100 minus mean lightness, 0..100
    redness     mean red-green coordinate a* of CIELAB (positive is red)
    """

    area: float
    elongation: float
    edge: float
    texture: float
    darkness: float
    redness: float


NAMES = tuple(field.name for field in fields(Measurements))
LEVELS = 3


def measure(image: Image.Image) -> Measurements:
    """Measurements of one RGB picture of any size."""
    small = image.resize((WORK_SIDE, WORK_SIDE), Image.Resampling.BOX)
    lab = _lab(np.asarray(small, dtype=np.float32) / 255.0)
    mask = _wound(lab)
    light = ndimage.gaussian_filter(lab[..., 0], 1.0)
    border = mask ^ ndimage.binary_erosion(mask, iterations=2)
    gradient = np.hypot(ndimage.sobel(light, 0), ndimage.sobel(light, 1)) / 8.0
    local = ndimage.uniform_filter(lab[..., 0], 5)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(lab[..., 0] ** 2, 5) - local**2, 0.0))
    return Measurements(
        area=float(mask.mean()),
        elongation=_elongation(mask),
        edge=float(gradient[border].mean()),
        texture=float(spread[mask].mean()),
        darkness=float(100.0 - lab[..., 0][mask].mean()),
        redness=float(lab[..., 1][mask].mean()),
    )


def _lab(rgb: FloatArray) -> FloatArray:
    """CIELAB (D65) of sRGB values in 0..1, any shape ending in 3."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
        dtype=np.float32,
    )
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089], dtype=np.float32)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    lightness = 116.0 * f[..., 1] - 16.0
    a, b = 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])
    return np.stack([lightness, a, b], axis=-1).astype(np.float32)


def _wound(lab: FloatArray) -> NDArray[np.bool_]:
    side = lab.shape[0]
    away = np.abs(lab - np.median(lab.reshape(-1, 3), axis=0)) * np.array([0.7, 1.3, 0.7])
    axis = (np.arange(side) - (side - 1) / 2) / (0.38 * side)
    centre = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2))
    conspicuous = ndimage.gaussian_filter(away.sum(axis=-1) * centre, 1.5)
    mask = ndimage.binary_opening(conspicuous > _otsu(conspicuous), iterations=1)
    parts, count = ndimage.label(mask)
    if count == 0:
        return np.asarray(conspicuous >= np.quantile(conspicuous, 0.9))
    weights = ndimage.sum_labels(conspicuous, parts, index=np.arange(1, count + 1))
    return np.asarray(parts == 1 + int(np.argmax(weights)))


def _otsu(values: NDArray[np.float64]) -> float:
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(middles[np.argmax(np.nan_to_num(between))])


def _elongation(mask: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    if len(rows) < 3:
        return 1.0
    spread = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])) + 0.1 * np.eye(2))
    return float(np.sqrt(spread[1] / spread[0]))


def thresholds(measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Terciles (6, 2) of measurements (n, 6): the borders between low, middle and high."""
    return np.quantile(measured, [1 / 3, 2 / 3], axis=0).T


def levels(measured: NDArray[np.float64], borders: NDArray[np.float64]) -> NDArray[np.int64]:
    """Level 0, 1 or 2 of each measurement: (n, 6) from measurements (n, 6) and borders (6, 2)."""
    return np.asarray((measured[:, :, None] > borders[None]).sum(axis=2))


def measure_all(images: list[Image.Image]) -> NDArray[np.float64]:
    """Measurements of several pictures as rows (n, 6), columns in the order of NAMES."""
    return np.array([astuple(measure(image)) for image in images])
