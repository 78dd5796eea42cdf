"""The seven kinds of wound, each painted on skin."""

from collections.abc import Callable
from dataclasses import replace
from math import pi

import numpy as np

from inference.drawings.bodies import Body, Place
from inference.drawings.fields import Colour, Field, Lattice, bell, between, paint, stain, step
from inference.drawings.nails import ingrown_nail
from inference.drawings.skin import Canvas, Patch, around
from inference.drawings.traits import Traits, count_in, darker

BLOOD: Colour = (0.55, 0.03, 0.04)
DARK_BLOOD: Colour = (0.22, 0.015, 0.02)
FLESH: Colour = (0.78, 0.20, 0.18)
FAT: Colour = (0.93, 0.76, 0.46)


def abrasion(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """A grazed patch: raw pink skin, red speckles and dark scabs in streaks one way."""
    place = body.wound
    long, wide = _patch_radii(place, traits)
    patch = around(canvas, place, long * 1.75, wide * 1.75)
    rough, streak = Lattice(rng), Lattice(rng)
    edge = rough.at(patch.u * 22, patch.v * 22) * 0.26 + rough.at(patch.u * 60, patch.v * 60) * 0.14
    away = np.hypot(patch.u / long, patch.v / wide) + edge
    graze = streak.at(patch.u * 16 + 9, patch.v * 120) * 0.6 + rough.at(
        patch.u * 150, patch.v * 190
    )
    stain(patch.colour, (0.93, 0.62, 0.58), step(1.5, 0.5, away) * 0.8)
    raw = step(1.05, 0.75, away) * step(-1.0, -0.1, graze)
    paint(patch.colour, darker((0.86, 0.36, 0.33), traits.darkness), raw * 0.75)
    speckle = step(1.1, 0.35, away) * step(0.1, 0.55, graze)
    paint(patch.colour, darker((0.66, 0.09, 0.09), traits.darkness), speckle * 0.9)
    crust = step(0.95, 0.3, away) * step(
        0.55, 0.85, streak.at(patch.u * 45, patch.v * 130) + 0.3 * graze
    )
    paint(
        patch.colour,
        darker((0.34, 0.07, 0.05), traits.darkness),
        crust * between(0.5, 1, traits.darkness),
    )
    patch.relief[...] += graze * raw * np.float32(0.0011)
    patch.gloss[...] += raw * speckle * np.float32(0.45)
    count_in(patch, np.maximum(raw, speckle))


def bruise(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """A cloud of blue, purple, green and yellow under whole skin."""
    place = body.wound
    long, wide = _patch_radii(place, traits, 0.5, 1.25)
    patch = around(canvas, place, long * 1.7, wide * 1.7)
    warp = Lattice(rng)
    depth = _depth(rng, patch, (long, wide), warp)
    away = np.hypot(patch.u / long, patch.v / wide) + warp.at(patch.u * 11, patch.v * 11) * 0.25
    old = rng.uniform(0, 1)
    rim = step(1.35, 0.7, away)
    stain(patch.colour, (0.88, 0.86, 0.55), rim * between(0.1, 0.6, old))
    stain(patch.colour, (0.95, 0.72, 0.72), rim * between(0.6, 0.1, old))
    _seep(rng, patch, depth, warp, traits)
    patch.relief[...] += step(1.1, 0.0, away) * np.float32(0.004)
    count_in(patch, np.clip(depth * 1.2, 0, 1))


def _depth(
    rng: np.random.Generator, patch: Patch, radii: tuple[float, float], warp: Lattice
) -> Field:
    """How much blood lies under the skin: some soft blobs that run together."""
    depth = np.zeros_like(patch.u)
    for blob in range(rng.integers(3, 6)):
        du, dv = rng.uniform(-0.45, 0.45, 2) * (blob > 0)
        away = np.hypot(patch.u / radii[0] - du, patch.v / radii[1] - dv)
        away = away + warp.at(patch.u * 13, patch.v * 13) * 0.22
        depth = np.maximum(depth, step(rng.uniform(0.7, 1.1), 0.1, away) * rng.uniform(0.6, 1))
    return depth


def _seep(
    rng: np.random.Generator, patch: Patch, depth: Field, warp: Lattice, traits: Traits
) -> None:
    """Colour a bruise by its depth: violet, blue at heart, with fine flecks."""
    mottle = 0.78 + 0.22 * warp.at(patch.u * 38, patch.v * 38)
    mottle = mottle + 0.15 * warp.at(patch.u * 90, patch.v * 90)
    strength = between(0.5, 0.85, traits.darkness)
    light = between(1.0, 0.55, patch.tone / 5)
    red = rng.uniform(0, 0.12)
    violet = ((0.46 + red) * light, 0.26 * light, (0.42 - red) * light)
    paint(
        patch.colour,
        darker(violet, traits.darkness, 0.45),
        np.clip(depth * mottle * strength, 0, 1),
    )
    heart = depth * depth * step(-0.5, 0.5, warp.at(patch.u * 14 + 5, patch.v * 14))
    blue = darker((0.27 * light, 0.20 * light, 0.40 * light), traits.darkness, 0.45)
    paint(patch.colour, blue, np.clip(heart * mottle * strength, 0, 1))
    flecks = step(0.35, 0.75, warp.at(patch.u * 120, patch.v * 120)) * depth
    stain(patch.colour, (0.70, 0.34, 0.42), flecks * 0.5)


def burn(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """An even red patch from heat with blisters, or a raw one with pale peeling or black edges."""
    place = body.wound
    long, wide = _patch_radii(place, traits, 0.5, 1.15)
    patch = around(canvas, place, long * 1.8, wide * 1.8)
    shape = Lattice(rng)
    away = np.hypot(patch.u / long, patch.v / wide)
    away = (
        away
        + shape.at(patch.u * 9, patch.v * 9) * 0.24
        + shape.at(patch.u * 30, patch.v * 30) * 0.08
    )
    stain(patch.colour, (0.95, 0.55, 0.52), step(1.45, 0.8, away))
    area = step(1.02, 0.93, away)
    deep = rng.random() < 0.55
    count_in(patch, area)
    if deep:
        _deep_burn(rng, patch, away, traits)
    else:
        paint(patch.colour, darker((0.86, 0.30, 0.28), traits.darkness, 0.5), area * 0.62)
    _blisters(rng, patch, (long, wide), 0.9 if deep else 0.75)


def _deep_burn(rng: np.random.Generator, patch: Patch, away: Field, traits: Traits) -> None:
    shape = Lattice(rng)
    blotches = shape.at(patch.u * 12 + 7, patch.v * 12) + 0.4 * shape.at(patch.u * 45, patch.v * 45)
    pale = step(1.04, 0.9, away + 0.06 * shape.at(patch.u * 60, patch.v * 60))
    paint(patch.colour, (0.93, 0.80, 0.72), pale * 0.85)
    raw = step(0.95, 0.74, away + 0.2 * blotches)
    paint(patch.colour, darker((0.80, 0.18, 0.17), traits.darkness, 0.5), raw * 0.95)
    mottle = shape.at(patch.u * 70, patch.v * 70) * np.float32(0.12)
    patch.colour[...] *= 1 + mottle * raw
    slough = raw * step(0.3, 0.75, shape.at(patch.u * 16, patch.v * 16 + 31) - 0.3 * blotches)
    paint(patch.colour, (0.90, 0.74, 0.58), slough * 0.75)
    reach = between(0.0, 1.0, traits.darkness)
    coal = raw * step(1.0, 1.35, shape.at(patch.u * 11, patch.v * 11 + 3) + 0.3 * blotches + reach)
    paint(patch.colour, (0.12, 0.075, 0.06), coal * 0.95)
    patch.relief[...] += pale * 0.002 - raw * 0.003 + slough * 0.0012
    patch.relief[...] += shape.at(patch.u * 90, patch.v * 90) * raw * np.float32(0.0007)
    patch.gloss[...] += raw * (1 - 0.7 * coal) * 0.45


def _blisters(
    rng: np.random.Generator, patch: Patch, radii: tuple[float, float], spread: float
) -> None:
    """Raised, shining domes filled with clear yellowish fluid; neighbours run together."""
    wobble = Lattice(rng).at(patch.u * 20, patch.v * 20) * 0.15
    nearest, dome = np.full_like(patch.u, 9), np.zeros_like(patch.u)
    for _ in range(rng.integers(2, 7)):
        angle, out = rng.uniform(0, 2 * pi), spread * np.sqrt(rng.uniform(0, 1))
        u0, v0 = np.cos(angle) * out * radii[0], np.sin(angle) * out * radii[1]
        radius = np.float32(min(radii) * rng.uniform(0.15, 0.45))
        squash = np.float32(rng.uniform(0.7, 1))
        away = (
            np.hypot(patch.u - np.float32(u0), (patch.v - np.float32(v0)) / squash) / radius
            + wobble
        )
        nearest = np.minimum(nearest, away)
        dome = np.maximum(dome, np.clip(1.1 - away * away, 0, 1) * radius)
    inside = step(1.05, 0.9, nearest)
    paint(patch.colour, (0.93, 0.68, 0.54), inside * 0.5)
    stain(patch.colour, (0.88, 0.55, 0.50), bell(nearest - 1.1, 0.12) * 0.6)
    patch.relief[...] += dome * np.float32(0.24)
    patch.gloss[...] += inside * 0.4


def cut(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """One thin, clean line with a little blood."""
    place = body.wound
    half = place.along * between(0.42, 1.05, traits.length)
    open_ = between(0.004, 0.02, traits.area) * between(0.7, 1, traits.length)
    patch = around(canvas, place, half * 1.25 + 0.05, half * 0.25 + 0.1)
    share = patch.u / half
    bend = rng.uniform(-0.25, 0.25) * half
    off = patch.v - bend * (1 - share * share)
    waver = Lattice(rng)
    lips = (
        open_
        * np.sqrt(np.clip(1 - share * share, 0, 1))
        * (1 + 0.25 * waver.at(patch.u * 30, patch.u * 0))
    )
    ends = step(1.12, 0.9, np.abs(share))
    near = np.abs(off) - lips
    stain(patch.colour, (0.93, 0.56, 0.54), bell(np.maximum(near, 0), 0.022) * ends * 0.75)
    patch.relief[...] += bell(near - 0.006, 0.006) * ends * np.float32(0.0035)
    inside = step(0.0015, -0.0015, near) * step(1.02, 0.98, np.abs(share))
    paint(patch.colour, darker((0.62, 0.05, 0.06), traits.darkness, 0.75), inside)
    paint(patch.colour, DARK_BLOOD, step(-0.2, -0.9, near / np.maximum(lips, 1e-4)) * inside * 0.75)
    patch.relief[...] -= inside * np.float32(0.004)
    patch.gloss[...] += inside * 0.5
    count_in(patch, inside)
    if rng.random() < 0.6:
        _smear(rng, patch, inside, near, traits)


def _smear(
    rng: np.random.Generator, patch: Patch, inside: Field, near: Field, traits: Traits
) -> None:
    """Thin blood beside an opening."""
    wet = Lattice(rng)
    film = bell(np.maximum(near, 0), 0.016) * step(
        0.0, 0.5, wet.at(patch.u * 30, patch.v * 30) + 0.3 * wet.at(patch.u * 80, patch.v * 80)
    )
    film = film * step(0.32, 0.2, np.abs(patch.u)) * (1 - inside)
    paint(patch.colour, darker((0.60, 0.06, 0.06), traits.darkness, 0.5), film * 0.8)
    patch.gloss[...] += film * 0.3


def laceration(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """A jagged, gaping tear: ragged pale lips, red flesh, yellow fat and a dark depth."""
    place = body.wound
    half = place.along * between(0.55, 1.0, traits.length)
    gape = place.across * between(0.13, 0.42, traits.area)
    patch = around(canvas, place, half * 1.25 + gape, gape * 2 + half * 0.3 + 0.14)
    jag = Lattice(rng)
    share = patch.u / half
    spine = half * 0.3 * jag.at(patch.u * 5, patch.u * 0 + 3) + 0.022 * jag.at(
        patch.u * 26, patch.u * 0
    )
    off = patch.v - spine
    lips = gape * np.clip(1 - np.abs(share) ** 2.2, 0, 1) ** 0.8
    ragged = jag.at(patch.u * 13, patch.v * 13) * 0.45 + jag.at(patch.u * 48, patch.v * 48) * 0.2
    near = np.abs(off) - lips * (1 + ragged) + 0.003 * jag.at(patch.u * 130, patch.v * 130)
    ends = step(1.1, 0.95, np.abs(share))
    _torn_surroundings(rng, patch, near, ends, traits)
    inside = step(0.002, -0.003, near) * ends
    _flesh(rng, patch, inside, -near / gape, traits)
    patch.relief[...] += bell(near - 0.012, 0.01) * ends * np.float32(0.009)
    count_in(patch, inside)


def _torn_surroundings(
    rng: np.random.Generator, patch: Patch, near: Field, ends: Field, traits: Traits
) -> None:
    stains = Lattice(rng)
    halo = bell(np.maximum(near, 0), 0.05) * ends
    stain(patch.colour, (0.84, 0.50, 0.50), halo * 0.9)
    patchy = step(-0.1, 0.6, stains.at(patch.u * 14, patch.v * 14))
    stain(patch.colour, (0.66, 0.46, 0.58), bell(np.maximum(near, 0), 0.07) * patchy * ends * 0.8)
    film = bell(np.maximum(near, 0), 0.035) * step(0.15, 0.5, stains.at(patch.u * 25, patch.v * 25))
    paint(patch.colour, darker(BLOOD, traits.darkness, 0.5), film * ends * 0.85)
    patch.gloss[...] += film * ends * 0.3
    paint(patch.colour, (0.88, 0.72, 0.66), bell(near - 0.004, 0.003) * ends * 0.7)


def _flesh(
    rng: np.random.Generator, patch: Patch, inside: Field, depth: Field, traits: Traits
) -> None:
    """Wet tissue; `depth` runs from 0 at the lips to about 1 in the middle."""
    tissue = Lattice(rng)
    lumps = tissue.at(patch.u * 55, patch.v * 55) + 0.5 * tissue.at(patch.u * 120, patch.v * 120)
    paint(patch.colour, darker(FLESH, traits.darkness, 0.65), inside)
    fibres = step(0.1, 0.8, tissue.at(patch.u * 35, patch.v * 110))
    paint(patch.colour, darker(BLOOD, traits.darkness, 0.65), inside * fibres * 0.8)
    fat = step(0.45, 0.65, lumps) * step(0.9, 0.2, depth) * between(0.9, 0.25, traits.darkness)
    paint(patch.colour, FAT, inside * fat * 0.75)
    pit = step(0.3, 0.85, depth + 0.3 * tissue.at(patch.u * 22, patch.v * 22))
    paint(patch.colour, DARK_BLOOD, inside * pit * between(0.45, 0.95, traits.darkness))
    patch.relief[...] += inside * (lumps * np.float32(0.0011) - np.clip(depth, 0, 1) * 0.012)
    patch.gloss[...] += inside * 0.42


def stab(rng: np.random.Generator, canvas: Canvas, body: Body, traits: Traits) -> None:
    """One to three short, deep punctures with a dark centre, mostly with a run of blood."""
    count = int(rng.choice([1, 1, 2, 3]))
    for index in range(count):
        shift = rng.uniform(-0.6, 0.6, 2) if count > 1 else (0.0, 0.0)
        if count > 1:
            shift = (between(-0.6, 0.6, index / (count - 1)), shift[1])
        place = body.wound
        c, s = np.cos(place.angle), np.sin(place.angle)
        du, dv = shift[0] * place.along, shift[1] * place.across * 0.7
        turn = place.angle + rng.uniform(-0.9, 0.9)
        spot = replace(place, x=place.x + du * c - dv * s, y=place.y + du * s + dv * c, angle=turn)
        _puncture(rng, canvas, spot, traits)


def _puncture(rng: np.random.Generator, canvas: Canvas, place: Place, traits: Traits) -> None:
    half = between(0.024, 0.062, traits.length)
    wide = half * between(0.34, 0.62, traits.area)
    _run_of_blood(rng, canvas, place, half, traits)
    patch = around(canvas, place, 0.2)
    rough = Lattice(rng)
    share = np.clip(np.abs(patch.u) / half, 0, 1)
    lips = wide * (1 - share**2) ** 0.8
    near = np.hypot(np.maximum(np.abs(patch.u) - half, 0), np.abs(patch.v) - lips)
    near = np.where((np.abs(patch.v) < lips) & (share < 1), -near, near)
    near = near + 0.003 * rough.at(patch.u * 60, patch.v * 60)
    around_it = bell(np.maximum(near, 0), 0.05)
    stain(
        patch.colour,
        (0.76, 0.52, 0.58),
        around_it * step(-0.6, 0.4, rough.at(patch.u * 13, patch.v * 13)),
    )
    stain(patch.colour, (0.90, 0.48, 0.46), bell(np.maximum(near, 0), 0.02))
    patch.relief[...] += bell(near - 0.009, 0.008) * np.float32(0.009)
    rim = step(0.008, 0.001, near)
    paint(patch.colour, darker((0.62, 0.07, 0.07), traits.darkness), rim)
    hole = step(-0.001, -0.008, near)
    paint(patch.colour, darker((0.20, 0.015, 0.02), traits.darkness, 0.85), hole)
    patch.relief[...] -= hole * np.float32(0.02)
    patch.gloss[...] *= 1 - hole
    patch.gloss[...] += (rim - hole) * 0.5
    count_in(patch, np.maximum(rim, hole))


def _run_of_blood(
    rng: np.random.Generator, canvas: Canvas, place: Place, half: float, traits: Traits
) -> None:
    """A trickle that follows gravity: down the picture, whatever way the wound points."""
    if rng.random() < 0.35:
        return
    long = rng.uniform(0.08, 0.3)
    patch = around(canvas, replace(place, angle=pi / 2), long + 0.03, 0.06)
    sway = Lattice(rng)
    middle = 0.016 * sway.at(patch.u * 9, patch.u * 0)
    width = half * rng.uniform(0.16, 0.3) * (0.75 + 0.45 * bell(patch.u - long, 0.018)) + 0.0015
    gap = np.hypot(np.maximum(patch.u - long, 0), patch.v - middle * step(0, 0.06, patch.u)) - width
    run = step(0.002, -0.002, gap) * step(-0.005, 0.005, patch.u)
    paint(patch.colour, darker(BLOOD, traits.darkness, 0.5), run * 0.92)
    patch.relief[...] += np.clip(-gap, 0, 0.01) * run * np.float32(0.6)
    patch.gloss[...] += run * 0.6


def _patch_radii(
    place: Place, traits: Traits, low: float = 0.38, high: float = 1.1
) -> tuple[float, float]:
    """Half length and half width of a patch of skin; `length` stretches it."""
    scale = between(low, high, traits.area)
    return place.along * scale * between(0.75, 1.25, traits.length), place.across * scale * between(
        1.1, 0.8, traits.length
    )


PAINTERS: dict[str, Callable[[np.random.Generator, Canvas, Body, Traits], None]] = {
    "Abrasions": abrasion,
    "Bruises": bruise,
    "Burns": burn,
    "Cut": cut,
    "Ingrown Nails": ingrown_nail,
    "Laceration": laceration,
    "Stab Wound": stab,
}
