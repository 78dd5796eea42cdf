"""Fire, smoke and what a home camera does to a picture; all in pixels of the finished frame."""

import numpy as np

from inference.drawings.fields import Field, Lattice, Picture, bell, clouds, paint, step


def flames(
    rng: np.random.Generator, picture: Picture, x: float, y: float, wide: float, tall: float
) -> None:
    """Fire whose foot is at pixel (x, y), with its glow on everything around."""
    _, rows, columns = picture.shape
    across = (np.arange(columns, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(wide)
    above = (np.float32(y) - np.arange(rows, dtype=np.float32)[:, None]) / np.float32(tall)
    glow = bell(np.hypot(across * 0.6, above - 0.4), 1.3)
    picture += np.asarray([0.42, 0.17, 0.03], np.float32)[:, None, None] * glow
    heat = _heat(rng, across, above)
    paint(picture, (0.78, 0.16, 0.02), step(0.0, 0.22, heat) * 0.9)
    paint(picture, (0.99, 0.50, 0.06), step(0.16, 0.4, heat))
    paint(picture, (1.0, 0.84, 0.32), step(0.38, 0.66, heat))
    paint(picture, (1.0, 0.97, 0.82), step(0.66, 0.95, heat))


def _heat(rng: np.random.Generator, across: Field, above: Field) -> Field:
    """Tongues of fire: wide at the foot, torn apart towards the tips."""
    wild = Lattice(rng)
    grid_u, grid_v = np.broadcast_arrays(across, above)
    sway = wild.at(grid_u * 1.5, grid_v * 2.2) * np.clip(above, 0, 1) * 0.5
    total = np.zeros_like(grid_u)
    for _ in range(rng.integers(3, 6)):
        middle, size = rng.uniform(-0.6, 0.6), rng.uniform(0.5, 1)
        rise = above / size
        body = 1 - np.abs(grid_u - middle + sway) / (0.55 * np.clip(1.15 - rise, 0.02, 1.15))
        total = np.maximum(total, body * step(1.15, 0.3, rise) * step(-0.1, 0.06, above))
    tear = wild.at(grid_u * 4 + 7, grid_v * 3.2) * 0.3 + wild.at(grid_u * 9, grid_v * 6) * 0.15
    return np.clip(total * 1.15 + (tear - 0.1) * (total > 0), 0, 1)


def smoke(
    rng: np.random.Generator, picture: Picture, x: float, y: float, thick: float, grey: float
) -> None:
    """A rising column from pixel (x, y) that spreads under the ceiling."""
    _, rows, columns = picture.shape
    across = (np.arange(columns, dtype=np.float32)[None, :] - np.float32(x)) / columns
    below = np.arange(rows, dtype=np.float32)[:, None] / rows
    rise = np.clip((np.float32(y / rows) - below) / max(y / rows, 0.05), 0, 1)
    billow = clouds(rng, (rows, columns), 6, 4)
    column = bell(across + billow * 0.1 * rise, 0.06 + 0.22 * rise) * step(0.0, 0.12, rise)
    layer = np.maximum(step(0.25, 0.85, rise + billow * 0.3), column)
    cover = np.clip(layer * (1.15 + 0.5 * billow), 0, 1) * np.float32(thick)
    shade = np.float32(grey) * (1 + billow * np.float32(0.22))
    for plane, tint in zip(picture, (1.0, 0.985, 0.97), strict=True):
        plane += (shade * np.float32(tint) - plane) * cover
    haze = np.float32(0.3 * thick) * (1 - cover)
    paint(picture, (grey * 1.1, grey * 1.1, grey * 1.1), haze)


def torch(picture: Picture, x: float, y: float, radius: float) -> None:
    """A round of torchlight in a dark room."""
    _, rows, columns = picture.shape
    across = np.arange(columns, dtype=np.float32)[None, :] - np.float32(x)
    down = np.arange(rows, dtype=np.float32)[:, None] - np.float32(y)
    picture *= 1 + bell(np.hypot(across, down), radius) * np.float32(2.2)


def night(picture: Picture, infrared: bool) -> Picture:
    """A dark room; through an infrared camera it is grey and brightest in the middle."""
    _, rows, columns = picture.shape
    across = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    lamp = 0.35 + 0.75 * bell(np.hypot(across, down * 0.9), 0.75)
    if not infrared:
        return picture * np.asarray([0.40, 0.42, 0.52], np.float32)[:, None, None]
    grey = picture.mean(axis=0) * lamp * np.float32(0.95)
    return np.stack([grey, grey * np.float32(1.01), grey])


def lens(rng: np.random.Generator, picture: Picture) -> Picture:
    """Darker corners, a colour cast and the grain of a small sensor."""
    _, rows, columns = picture.shape
    across = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    vignette = 1 - np.float32(0.16) * (across * across + down * down)
    cast = rng.uniform(0.95, 1.05, 3).astype(np.float32)[:, None, None]
    grain = rng.standard_normal((rows, columns), np.float32) * np.float32(rng.uniform(0.008, 0.022))
    return np.clip(picture * vignette * cast + grain, 0, 1)
