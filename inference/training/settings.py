"""What decides the outcome of a training, and where its finished steps are kept."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.training import views
from inference.training.decoder import DecoderSettings
from inference.training.finetune import TowerSettings
from inference.training.member import DecoderShape

EVERYTHING = -1  # the part that holds no photo out: the shipped members
OPTIONS: dict[str, object] = {"crops": list(views.CROPS), "channels_last": True, "guided": True}


@dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out, beside the photos themselves.

    fixed_projectors  members whose projector keeps its first layer as it was aimed: less of the
                      training photos is learned by heart, and less is learned. Cross-validation
                      favoured it for lite1 and opposed it for lite0 and lite2.
    """

    data: Path
    work: Path
    domain: str = "wound"
    members: tuple[str, ...] = ("lite0", "lite1", "lite2")
    fixed_projectors: tuple[str, ...] = ("lite1",)
    folds: int = 3
    seed: int = 0
    augmentations: int = 8
    drawings: int = 10
    vocabulary: int = 1200
    shape: DecoderShape = field(default_factory=DecoderShape)
    tower: TowerSettings = field(default_factory=TowerSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)

    @property
    def parts(self) -> tuple[int, ...]:
        return (*range(self.folds), EVERYTHING)

    @property
    def run(self) -> Path:
        """Folder of the finished steps: other settings or other photos get another one."""
        decisive = [
            self.domain,
            self.seed,
            self.augmentations,
            self.vocabulary,
            self.fixed_projectors,
        ]
        shapes = [asdict(one) for one in (self.shape, self.tower, self.decoder)]
        text = json.dumps([decisive, shapes], sort_keys=True) + self._photos_digest()
        return self.work / f"run-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def tower_file(self, name: str, rows: NDArray[np.int64]) -> Path:
        """File of a tower that was fine-tuned on these rows of the photos."""
        parts = [asdict(self.tower), self.augmentations, self.seed, rows.tolist()]
        text = json.dumps(parts, sort_keys=True) + self._photos_digest()
        return self.work / "towers" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}.pt"

    def groups_file(self) -> Path:
        """File of the photos' near-twin groups."""
        return self.work / f"groups-{self._photos_digest()}.npy"

    def features(self, name: str) -> Path:
        """Folder of the features of the photos or of the drawings."""
        what = f"{self._photos_digest()}-{self.augmentations}-{self.seed}"
        if name == "drawings":
            what = f"{self.drawings}-{self.augmentations}-{self.seed}"
        return self.work / f"{name}-{what}"

    def _photos_digest(self) -> str:
        return hashlib.sha256((self.data / "labels.csv").read_bytes()).hexdigest()[:10]
