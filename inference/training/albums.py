"""The labelled pictures of one domain, and what is computed of them once for all members."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inference.drawings import draw_room, draw_wound
from inference.pipeline.domains import Domain, load_domain
from inference.training import measure, views
from inference.training.features import Gallery
from inference.training.finetune import Samples
from inference.training.patches import draw_patch
from inference.training.pictures import (
    Picture,
    grouped_folds,
    orientation_hashes,
    read_folder,
    twin_groups,
)
from inference.training.settings import EVERYTHING, Settings
from inference.training.towers import build_tower, channels_last
from inference.training.wording import Wording, load_wording

DRAWN: dict[str, Callable[..., Image.Image]] = {"wound": draw_wound, "home": draw_room}
DRAWN_VERSIONS = 1  # augmented versions of a drawing
VERSIONS = 5400  # about so many versions of pictures are kept of an album
FEW_GROUPS = 6  # a source of so few rooms or people is held out whole
NO_LABEL = -1  # of a drawing that only shows what attributes mean


@dataclass(frozen=True)
class Drawing:
    """A picture made by code: `label` is a position in the label set, or NO_LABEL."""

    seed: int
    label: int
    draw: Callable[[], Image.Image]

    def image(self) -> Image.Image:
        return self.draw().convert("RGB")


class Album:
    """One domain's labelled pictures with their groups, folds and weights.

    Near-twins share a group. So do frames of one room where labels.csv says so, and all pictures of
    a source that shows only a few rooms or people: it is learned from as a whole, or not at all.
    """

    def __init__(self, settings: Settings, domain_id: str) -> None:
        self.settings = settings
        self.domain: Domain = load_domain(domain_id)
        self.words: Wording = load_wording(domain_id)
        ids, folder = self.domain.label_ids, dict(settings.data)[domain_id]
        self.pictures: tuple[Picture, ...] = read_folder(folder, ids, self.words.events)
        self.labels = np.array([ids.index(one.label) for one in self.pictures], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def label_ids(self) -> tuple[str, ...]:
        return self.domain.label_ids

    def odds(self, caution: float) -> NDArray[np.float32]:
        """Factors (labels,) of the labels' odds: `caution` for the abnormal ones."""
        normal = [label.normal for label in self.domain.labels]
        return np.where(normal, 1.0, caution).astype(np.float32)

    @property
    def augmentations(self) -> int:
        return max(1, min(self.settings.augmentations, VERSIONS // max(1, len(self)) - 1))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often (n,) each picture is learned from: frames of one video share, by its root."""
        names = [one.video or f"picture {one.index}" for one in self.pictures]
        counts = np.array([names.count(name) for name in names])
        return np.asarray(1.0 / np.sqrt(counts))

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group (n,) of each picture."""
        path = self.settings.album(self.domain.id) / "groups.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            hashes = np.stack([orientation_hashes(one.image()) for one in self.pictures])
            np.save(path, twin_groups(hashes, self._twin_features(), self._named()))
        return np.asarray(np.load(path))

    def _named(self) -> list[str]:
        small = self.small_sources
        return [
            f"source {one.source}" if one.source in small else one.group for one in self.pictures
        ]

    @cached_property
    def small_sources(self) -> frozenset[str]:
        """Sources that show only a few rooms or people: held out whole, and no measure of others.

        A picture without a group is one by itself.
        """
        groups: dict[str, set[str]] = {}
        for one in self.pictures:
            groups.setdefault(one.source, set()).add(one.group or f"picture {one.index}")
        return frozenset(
            source for source, names in groups.items() if source and len(names) <= FEW_GROUPS
        )

    @torch.inference_mode()
    def _twin_features(self) -> NDArray[np.float32]:
        """Pooled ImageNet features; zeros where labels.csv groups the pictures by itself."""
        if any(one.group for one in self.pictures):
            return np.zeros((len(self), 1), dtype=np.float32)
        tower = channels_last(build_tower("lite0"))
        rows = []
        for picture in self.pictures:
            image = picture.image()
            pair = [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
            pooled = tower(torch.from_numpy(views.pixels(pair))).last_hidden_state.mean((0, 2, 3))
            rows.append((pooled / pooled.norm()).numpy())
        return np.stack(rows)

    @cached_property
    def fold_of(self) -> NDArray[np.int64]:
        """Fold (n,) of each picture; groups stay whole."""
        labels = [one.label for one in self.pictures]
        return grouped_folds(labels, self.groups, max(1, self.settings.folds), self.settings.seed)

    def inside(self, part: int) -> NDArray[np.int64]:
        """Rows that a part learns from; none of its fold, all for EVERYTHING."""
        if part == EVERYTHING:
            return np.arange(len(self))
        return np.flatnonzero(self.fold_of != part)

    def outside(self, part: int) -> NDArray[np.int64]:
        """Rows that a part never sees."""
        return np.setdiff1d(np.arange(len(self)), self.inside(part))

    @cached_property
    def gallery(self) -> Gallery:
        """The pictures in all their versions."""
        settings = self.settings
        folder = settings.album(self.domain.id)
        return Gallery(folder, self.pictures, self.augmentations, settings.seed)

    @cached_property
    def drawings(self) -> tuple[Drawing, ...]:
        """Drawings of each label, and of what attributes mean; none where nothing can be drawn."""
        if self.domain.id not in DRAWN:
            return ()
        count, ids = self.settings.drawings, self.label_ids
        labelled = [
            Drawing(seed, position, partial(DRAWN[self.domain.id], seed, label))
            for seed in range(count)
            for position, label in enumerate(ids)
        ]
        patches = range(2 * count * len(ids) if self.domain.id == "wound" else 0)
        return (
            *labelled,
            *(Drawing(seed, NO_LABEL, partial(draw_patch, seed)) for seed in patches),
        )

    @cached_property
    def drawn_gallery(self) -> Gallery:
        """The drawings in a few versions."""
        settings, drawings = self.settings, self.drawings
        folder = settings.work / f"drawn-{self.domain.id}-{len(drawings)}-{settings.seed}"
        return Gallery(folder, drawings, DRAWN_VERSIONS, settings.seed)

    def samples(self, tower: str, part: int) -> list[Samples]:
        """What a part learns from: its pictures, labelled drawings, drawings without a label."""
        rows, measured = self.inside(part), self.gallery.measured()
        borders = measure.thresholds(measured[rows, 0])
        pictures = Samples(
            self.gallery.maps(tower)[rows],
            self.labels[rows],
            measure.levels(measured[rows], borders),
            measured[rows],
            self.weights[rows],
        )
        return [pictures, *self._drawn_samples(tower, borders)]

    def _drawn_samples(self, tower: str, borders: NDArray[np.float64]) -> list[Samples]:
        labels = np.array([one.label for one in self.drawings], dtype=np.int64)
        found = []
        for chosen in (labels >= 0, labels < 0):
            if chosen.any():
                maps = self.drawn_gallery.maps(tower)[chosen]
                measured = self.drawn_gallery.measured()[chosen]
                levels = measure.levels(measured, borders)
                found.append(Samples(maps, labels[chosen], levels, measured, np.ones(len(maps))))
        return found
