"""Is a case like what the ensemble was trained on, or has been checked on at this site?"""

import math
from dataclasses import dataclass

import numpy as np
from django.db.models import F
from numpy.typing import NDArray

from inference.models import Run
from inference.novelty import load_reference
from inference.services.looking import visual_of
from inference.services.runs import finite
from triage.choices import CaseStatus
from triage.models import Case

NEWEST = 500


@dataclass(frozen=True)
class Familiarity:
    """`novelty` 0 to 1, None where it could not be told; unfamiliar above `threshold`.

    reference  fingerprint of what was familiar, beside this site's own resolved cases
    """

    novelty: float | None
    threshold: float
    reference: str = ""

    def to_dict(self) -> dict[str, float | str | None]:
        """As a Decision keeps it: the reference, and so the threshold, may be another one later."""
        return {
            "novelty": self.novelty,
            "novelty_threshold": finite(self.threshold),
            "novelty_reference": self.reference,
        }

    @property
    def objections(self) -> list[str]:
        """Why the case cannot be accepted, as codes of triage.reasons."""
        if self.novelty is None:
            return ["novelty_unknown"]
        return [] if self.novelty <= self.threshold else ["unfamiliar"]


def familiarity(case: Case, run: Run) -> Familiarity | None:
    """How novel the case's picture is; None where its domain has no reference.

    Familiar is what lies near the training pictures, or near cases of this site that people have
    resolved, with the same ensemble: those calibrate it here.

    Raises:
        ValueError, OSError: the reference cannot be read.
    """
    reference = load_reference(case.domain)
    if reference is None:
        return None
    visual = visual_of(run.observation)
    if visual is None or len(visual) != reference.dimensions:
        return Familiarity(None, reference.threshold, reference.fingerprint)
    known = resolved_visuals(case, run.ensemble, reference.dimensions)
    novelty = reference.novelty(visual, known)
    told = novelty if math.isfinite(novelty) else None
    return Familiarity(told, reference.threshold, reference.fingerprint)


def resolved_visuals(case: Case, ensemble: str, dimensions: int) -> NDArray[np.float32]:
    """Visual features (m, d) of the newest 500 cases of the same site and domain that people have
    confirmed: near a picture on which the ensemble was wrong, nothing is familiar."""
    rows = (
        Case.objects.filter(site=case.site_id, domain=case.domain, status=CaseStatus.RESOLVED)
        .filter(
            observation__runs__ensemble=ensemble,
            observation__runs__prediction=F("label"),
            observation__runs__trial=False,
        )
        .filter(observation__visual__isnull=False)
        .exclude(pk=case.pk)
        .order_by("-resolved_at")
        .values_list("observation__visual", flat=True)[:NEWEST]
    )
    vectors = [np.frombuffer(row, dtype="<f4") for row in rows if row]
    vectors = [vector for vector in vectors if len(vector) == dimensions]
    return np.stack(vectors) if vectors else np.empty((0, dimensions), dtype=np.float32)
