"""Write drawings and their labels.csv: `python -m inference.drawings --out DIR --domain wound`."""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from inference.drawings.room import ROOM_EVENTS, draw_room
from inference.drawings.wound import WOUND_LABELS, draw_wound

DOMAINS: dict[str, tuple[tuple[str, ...], Callable[[int, str], Image.Image]]] = {
    "wound": (WOUND_LABELS, draw_wound),
    "home": (ROOM_EVENTS, draw_room),
}


def write(out: Path, domain: str, count: int, seed: int) -> None:
    """Write `count` drawings, label by label in turn, and labels.csv (file, label) beside them."""
    labels, draw = DOMAINS[domain]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "labels.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(("file", "label"))
        for number in range(seed, seed + count):
            label, name = labels[number % len(labels)], f"{domain}_{number:06d}.jpg"
            draw(number, label).save(out / name, quality=92)
            rows.writerow((name, label))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="inference.drawings", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--domain", choices=sorted(DOMAINS), default="wound")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first drawing")
    given = parser.parse_args(words)
    write(given.out, given.domain, given.count, given.seed)


if __name__ == "__main__":
    main()
