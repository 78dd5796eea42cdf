"""Is a case like what the ensemble was trained on, or has been checked on at this site?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from django.db.models import F
from numpy.typing import NDArray

from inference.models import Run
from inference.novelty import load_reference
from inference.services.looking import visual_of
from inference.services.runs import finite
from triage.choices import CaseStatus
from triage.models import Case, Site

NEWEST = 500
Resolved = Callable[[Site, str, str], list[tuple[UUID, NDArray[np.float32]]]]


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


def familiarity(case: Case, run: Run, resolved: Resolved | None = None) -> Familiarity | None:
    """How novel the case's picture is; None where its domain has no reference.

    Familiar is what lies near the training pictures, or near cases of this site that people have
    resolved, with the same ensemble: those calibrate it here.

    Args:
        resolved: `resolved_visuals`, or what has asked it before.

    Raises:
        ValueError, OSError: the reference cannot be read.
    """
    reference = load_reference(case.domain)
    if reference is None:
        return None
    visual = visual_of(run.observation)
    if visual is None or len(visual) != reference.dimensions:
        return Familiarity(None, reference.threshold, reference.fingerprint)
    found = (resolved or resolved_visuals)(case.site, case.domain, run.ensemble)
    known = [one for pk, one in found if pk != case.pk and len(one) == reference.dimensions][
        :NEWEST
    ]
    nothing = np.empty((0, reference.dimensions), dtype=np.float32)
    novelty = reference.novelty(visual, np.stack(known) if known else nothing)
    told = novelty if math.isfinite(novelty) else None
    return Familiarity(told, reference.threshold, reference.fingerprint)


def resolved_visuals(
    site: Site, domain: str, ensemble: str
) -> list[tuple[UUID, NDArray[np.float32]]]:
    """Case and visual features (d,) of the newest cases of a site and domain that people have
    confirmed, one more than are looked at: near a picture on which the ensemble was wrong, nothing
    is familiar."""
    rows = (
        Case.objects.filter(site=site, domain=domain, status=CaseStatus.RESOLVED)
        .filter(
            observation__runs__ensemble=ensemble,
            observation__runs__prediction=F("label"),
            observation__runs__trial=False,
        )
        .filter(observation__visual__isnull=False)
        .order_by("-resolved_at")
        .values_list("pk", "observation__visual")[: NEWEST + 1]
    )
    return [(pk, np.frombuffer(visual, dtype="<f4")) for pk, visual in rows if visual]
