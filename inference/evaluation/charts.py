"""Charts as inline SVG; the page's CSS colours them, so that dark mode reaches them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 22, 12, 44


@dataclass(frozen=True)
class Line:
    """A named polyline through (x, y); `style` is a CSS class of the page.

    `band`: (x, low, high) of the uncertainty around it, if it is known.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    dots: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """A labelled axis; its ticks run from the first to the last of its range.

    `form` is how a tick is written: in percent unless said.
    """

    label: str
    ticks: Sequence[float]
    form: str = ".0%"

    def place(self, value: float) -> float:
        """0 at the first tick, 1 at the last; values beyond are clipped."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return min(max(share, 0.0), 1.0)


def round_ticks(highest: float, about: int = 5) -> list[float]:
    """Ticks from 0 to `highest` (> 0) or a little above: `about` + 1 at most.

    Their steps are 1, 2 or 5 times a power of ten.
    """
    power = 10 ** math.floor(math.log10(highest / about))
    step = next(one * power for one in (1, 2, 5, 10) if one * power * about >= highest * (1 - 1e-9))
    return [step * at for at in range(math.ceil(highest / step - 1e-9) + 1)]


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """An SVG element with axes, grid and lines; `title` is read out to those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{_grid(x, y)}{''.join(_line(line, x, y) for line in lines)}</svg>"
    )


def _at(x: Axis, y: Axis, point: tuple[float, float]) -> tuple[float, float]:
    across = LEFT + x.place(point[0]) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - y.place(point[1]) * (HEIGHT - TOP - BOTTOM)
    return round(across, 1), round(down, 1)


def _line(line: Line, x: Axis, y: Axis) -> str:
    places = [_at(x, y, point) for point in line.points]
    path = " ".join(f"{across},{down}" for across, down in places)
    dots = "".join(f'<circle cx="{across}" cy="{down}" r="3.5"/>' for across, down in places)
    drawn = f'{_band(line, x, y)}<polyline points="{path}"/>{dots if line.dots else ""}'
    return f'<g class="{line.style}"><title>{escape(line.name)}</title>{drawn}</g>'


def _band(line: Line, x: Axis, y: Axis) -> str:
    if not line.band:
        return ""
    low = [_at(x, y, (at, value)) for at, value, _ in line.band]
    high = [_at(x, y, (at, value)) for at, _, value in line.band]
    edge = " ".join(f"{across},{down}" for across, down in [*low, *reversed(high)])
    return f'<polygon points="{edge}"/>'


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    for tick in y.ticks:
        across, down = _at(x, y, (x.ticks[0], tick))
        parts.append(f'<path d="M{across} {down}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{across - 6}" y="{down + 4}" class="end">{tick:{y.form}}</text>')
    for tick in x.ticks:
        across, down = _at(x, y, (tick, y.ticks[0]))
        parts.append(f'<text x="{across}" y="{down + 18}" class="middle">{tick:{x.form}}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" class="middle">{escape(x.label)}</text>')
    upright = (TOP + HEIGHT - BOTTOM) / 2
    turn = f'transform="rotate(-90 12 {upright})"'
    parts.append(f'<text x="12" y="{upright}" {turn} class="middle">{escape(y.label)}</text>')
    return f'<g class="grid">{"".join(parts)}</g>'
