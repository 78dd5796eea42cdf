"""People as rods on a skeleton, in metres; they stand at the origin and look along +z."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np

from inference.drawings.fields import Colour
from inference.drawings.scene import Point, Rod, Shape, dim, turned
from inference.drawings.skin import TONES

CLOTHES: tuple[Colour, ...] = (
    (0.20, 0.30, 0.52),
    (0.66, 0.22, 0.22),
    (0.30, 0.46, 0.34),
    (0.82, 0.80, 0.76),
    (0.22, 0.22, 0.25),
    (0.80, 0.62, 0.28),
    (0.52, 0.40, 0.58),
)
HAIRS: tuple[Colour, ...] = (
    (0.10, 0.08, 0.07),
    (0.30, 0.19, 0.11),
    (0.62, 0.48, 0.28),
    (0.7, 0.7, 0.7),
)

Pose = dict[str, Point]
"""Joint -> position; `l` and `r` are the figure's own left and right."""

STANDING: Pose = {
    "head": (0, 1.6, 0.02), "neck": (0, 1.44, 0), "waist": (0, 0.98, 0),
    "shoulder_l": (0.19, 1.4, 0), "elbow_l": (0.25, 1.13, -0.03), "hand_l": (0.24, 0.86, 0.06),
    "shoulder_r": (-0.19, 1.4, 0), "elbow_r": (-0.25, 1.13, -0.03), "hand_r": (-0.24, 0.86, 0.06),
    "hip_l": (0.1, 0.92, 0), "knee_l": (0.11, 0.5, 0.02), "foot_l": (0.12, 0.07, -0.02),
    "hip_r": (-0.1, 0.92, 0), "knee_r": (-0.11, 0.5, 0.02), "foot_r": (-0.12, 0.07, -0.02),
}  # fmt: skip
WALKING: Pose = STANDING | {
    "elbow_l": (0.25, 1.14, -0.15), "hand_l": (0.23, 0.92, -0.2),
    "elbow_r": (-0.25, 1.14, 0.1), "hand_r": (-0.22, 0.95, 0.27),
    "knee_l": (0.1, 0.52, 0.2), "foot_l": (0.1, 0.08, 0.3),
    "knee_r": (-0.1, 0.5, -0.06), "foot_r": (-0.1, 0.1, -0.4),
}  # fmt: skip
SITTING: Pose = {
    "head": (0, 1.2, 0.04), "neck": (0, 1.04, 0), "waist": (0, 0.58, 0),
    "shoulder_l": (0.19, 1.0, 0), "elbow_l": (0.25, 0.74, 0.08), "hand_l": (0.13, 0.64, 0.34),
    "shoulder_r": (-0.19, 1.0, 0), "elbow_r": (-0.25, 0.74, 0.08), "hand_r": (-0.13, 0.64, 0.34),
    "hip_l": (0.1, 0.54, 0.02), "knee_l": (0.13, 0.54, 0.46), "foot_l": (0.13, 0.07, 0.46),
    "hip_r": (-0.1, 0.54, 0.02), "knee_r": (-0.13, 0.54, 0.46), "foot_r": (-0.13, 0.07, 0.5),
}  # fmt: skip
FALLEN: Pose = {
    "head": (0.08, 0.13, 0.78), "neck": (0.03, 0.15, 0.58), "waist": (0, 0.14, 0.1),
    "shoulder_l": (0.21, 0.13, 0.54), "elbow_l": (0.44, 0.07, 0.66), "hand_l": (0.4, 0.05, 0.94),
    "shoulder_r": (-0.17, 0.17, 0.54), "elbow_r": (-0.36, 0.08, 0.36), "hand_r": (-0.5, 0.05, 0.14),
    "hip_l": (0.1, 0.12, 0.04), "knee_l": (0.36, 0.16, -0.26), "foot_l": (0.14, 0.07, -0.6),
    "hip_r": (-0.1, 0.12, 0.04), "knee_r": (-0.14, 0.1, -0.4), "foot_r": (-0.2, 0.07, -0.84),
}  # fmt: skip
HITTING: Pose = WALKING | {
    "head": (0, 1.57, 0.14), "neck": (0, 1.41, 0.1),
    "shoulder_l": (0.19, 1.37, 0.04), "shoulder_r": (-0.18, 1.38, 0.16),
    "elbow_r": (-0.2, 1.42, 0.44), "hand_r": (-0.06, 1.5, 0.7),
    "elbow_l": (0.3, 1.16, 0.14), "hand_l": (0.14, 1.3, 0.34),
}  # fmt: skip
SHIELDING: Pose = STANDING | {
    "head": (0, 1.54, -0.16), "neck": (0, 1.4, -0.1),
    "shoulder_l": (0.19, 1.36, -0.08), "shoulder_r": (-0.19, 1.36, -0.08),
    "elbow_l": (0.3, 1.24, 0.2), "hand_l": (0.08, 1.5, 0.28),
    "elbow_r": (-0.3, 1.24, 0.2), "hand_r": (-0.08, 1.6, 0.24),
    "knee_l": (0.12, 0.5, 0.1), "foot_l": (0.14, 0.07, 0.12), "foot_r": (-0.14, 0.07, -0.34),
    "knee_r": (-0.13, 0.48, -0.1),
}  # fmt: skip
CREEPING: Pose = WALKING | {
    "head": (0, 1.42, 0.3), "neck": (0, 1.3, 0.2), "waist": (0, 0.9, 0),
    "shoulder_l": (0.19, 1.27, 0.17), "shoulder_r": (-0.19, 1.27, 0.17),
    "elbow_l": (0.25, 1.02, 0.24), "hand_l": (0.16, 0.98, 0.52),
    "elbow_r": (-0.27, 1.04, 0.24), "hand_r": (-0.2, 1.1, 0.52),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What somebody wears and how tall they are (1 = 1.72 m)."""

    skin: Colour
    hair: Colour
    top: Colour
    legs: Colour
    tall: float
    long_hair: bool
    masked: bool = False

    @staticmethod
    def drawn(rng: np.random.Generator) -> "Look":
        top, legs = rng.choice(len(CLOTHES), 2, replace=False)
        return Look(
            skin=TONES[rng.integers(len(TONES))],
            hair=HAIRS[rng.integers(len(HAIRS))],
            top=CLOTHES[top],
            legs=dim(CLOTHES[legs], 0.8),
            tall=rng.uniform(0.92, 1.06),
            long_hair=bool(rng.random() < 0.4),
        )


DARK_CLOTHES = Look(
    (0.1, 0.1, 0.1), (0.06, 0.06, 0.07), (0.09, 0.09, 0.11), (0.07, 0.07, 0.08), 1.03, False, True
)


def person(pose: Pose, look: Look, turn: float, at: Point) -> list[Shape]:
    """Somebody in a pose, turned about the vertical, feet on the floor at `at`."""
    joint = {
        name: turned((x * look.tall, y * look.tall, z * look.tall), turn, at)
        for name, (x, y, z) in pose.items()
    }

    def rod(start: str, end: str, r0: float, r1: float, colour: Colour) -> Rod:
        return Rod(joint[start], joint[end], r0 * look.tall, r1 * look.tall, colour)

    parts: list[Shape] = [
        rod("neck", "waist", 0.13, 0.135, look.top),
        rod("shoulder_l", "shoulder_r", 0.085, 0.085, look.top),
        rod("hip_l", "hip_r", 0.11, 0.11, look.legs),
        rod("neck", "head", 0.055, 0.06, look.skin),
        *_head(joint, look, turn),
    ]
    for side in ("_l", "_r"):
        shoe = _toes(joint["knee" + side], joint["foot" + side], turn, look.tall)
        parts += [
            rod("shoulder" + side, "elbow" + side, 0.062, 0.05, look.top),
            rod("elbow" + side, "hand" + side, 0.045, 0.036, look.skin),
            rod("hand" + side, "hand" + side, 0.048, 0.048, look.skin),
            rod("hip" + side, "knee" + side, 0.095, 0.066, look.legs),
            rod("knee" + side, "foot" + side, 0.062, 0.046, look.legs),
            Rod(joint["foot" + side], shoe, 0.05, 0.04, (0.13, 0.12, 0.12)),
        ]
    return parts


def _head(joint: dict[str, Point], look: Look, turn: float) -> list[Shape]:
    """Skull and face, eyes in front, hair above and behind; a mask leaves the eyes alone."""
    head, neck = np.asarray(joint["head"]), np.asarray(joint["neck"])
    up = (head - neck) / max(float(np.linalg.norm(head - neck)), 1e-6)
    ahead = np.asarray([sin(turn), 0.0, cos(turn)])
    if up[1] < 0.6:  # lying: the face is turned up
        ahead = np.asarray([0.0, 1.0, 0.0])
    sideways = np.cross(up, ahead)
    face = look.hair if look.masked else look.skin
    size = look.tall

    def at(right: float, high: float, front: float) -> Point:
        x, y, z = head + (sideways * right + up * high + ahead * front) * size
        return float(x), float(y), float(z)

    def ball(place: Point, radius: float, colour: Colour) -> Rod:
        return Rod(place, place, radius * size, radius * size, colour)

    parts: list[Shape] = [
        Rod(at(0, 0.055, 0), at(0, -0.045, 0.01), 0.098 * size, 0.08 * size, face),
        Rod(at(0, 0.1, -0.015), at(0, 0.05, -0.05), 0.09 * size, 0.09 * size, look.hair),
        ball(at(0, -0.005, 0.1), 0.016, dim(face, 0.92)),
    ]
    parts += [ball(at(side, 0.03, 0.1), 0.013, (0.08, 0.06, 0.05)) for side in (-0.035, 0.035)]
    if look.long_hair:
        parts.append(
            Rod(at(0, 0.05, -0.06), at(0, -0.15, -0.08), 0.095 * size, 0.085 * size, look.hair)
        )
    return parts


def _toes(knee: Point, foot: Point, turn: float, tall: float) -> Point:
    """Where a shoe ends: ahead of a standing foot, upwards from a lying one."""
    if knee[1] - foot[1] > 0.2:
        return foot[0] + sin(turn) * 0.15 * tall, 0.05, foot[2] + cos(turn) * 0.15 * tall
    return foot[0], foot[1] + 0.1, foot[2]
