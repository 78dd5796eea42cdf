"""What decides the outcome of a training, and where its finished steps are kept."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from inference.training import views
from inference.training.decoder import DecoderSettings
from inference.training.finetune import TowerSettings
from inference.training.lessons import LessonSettings
from inference.training.member import DecoderShape

EVERYTHING = -1  # the part that holds no picture out: the shipped members
OPTIONS: dict[str, object] = {
    "crops": list(views.CROPS),
    "channels_last": True,
    "guided": True,
    "shared_cache": True,
    "batch": 16,
}
FRAMES = "each"


@dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out, beside the pictures themselves.

    data           a domain and the folder of its labelled pictures, one pair a domain
    augmentations  augmented versions of a picture; fewer where an album is large
    drawings       drawn pictures a label, of the domains that can be drawn
    """

    data: tuple[tuple[str, Path], ...]
    work: Path
    members: tuple[str, ...] = ("lite0", "lite1", "lite2")
    folds: int = 0
    seed: int = 0
    augmentations: int = 8
    drawings: int = 6
    vocabulary: int = 1600
    shape: DecoderShape = field(default_factory=DecoderShape)
    tower: TowerSettings = field(default_factory=TowerSettings)
    lessons: LessonSettings = field(default_factory=LessonSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)

    @property
    def parts(self) -> tuple[int, ...]:
        return (*range(self.folds), EVERYTHING)

    @property
    def run(self) -> Path:
        """Folder of the finished steps: other settings or other pictures get another one."""
        decisive = [self.members, self.folds, self.vocabulary]
        shapes = [asdict(one) for one in (self.shape, self.lessons, self.decoder)]
        return self.work / f"run-{_short([decisive, shapes, self._towers()])}"

    @property
    def towers(self) -> Path:
        """Folder of the fine-tuned towers: they do not depend on how decoders are taught."""
        return self.work / f"towers-{_short([self.folds, self._towers()])}"

    def album(self, domain_id: str) -> Path:
        """Folder of what is computed once of a domain's pictures."""
        return self.work / f"{domain_id}-{self.digest(domain_id)}-{self.augmentations}-{self.seed}"

    def digest(self, domain_id: str) -> str:
        """What labels.csv of a domain holds, in ten characters."""
        labels = dict(self.data)[domain_id] / "labels.csv"
        return hashlib.sha256(labels.read_bytes()).hexdigest()[:10]

    def _towers(self) -> list[object]:
        digests = [[domain, self.digest(domain)] for domain, _ in self.data]
        return [digests, self.seed, self.augmentations, self.drawings, asdict(self.tower)]


def _short(decisive: object) -> str:
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]
