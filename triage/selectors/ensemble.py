"""The ensemble as people see it: who is in it and how each has done here."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from django.db.models import Count, Q

from inference import ensemble
from inference.models import MemberJob, StageTrace
from inference.pipeline.domains import Domain
from inference.pipeline.stages import Stage
from triage.choices import CaseStatus
from triage.models import Site
from triage.selectors.words import domain_at

RECENT = 200


@dataclass(frozen=True)
class MemberView:
    """One member; `agreement` is the share of resolved cases where it said what the expert said."""

    name: str
    model: str
    backend: str
    domains: tuple[str, ...]
    answered: int
    failed: int
    median_s: float | None
    agreement: float | None
    compared: int


@dataclass(frozen=True)
class EnsemblePage:
    domain: Domain
    members: list[MemberView]


def ensemble_page(*, site: Site) -> EnsemblePage:
    specs = ensemble.members_of(site.domain)
    return EnsemblePage(
        domain=domain_at(site),
        members=[
            _member(site, spec.name, Path(spec.model).name, spec.backend, spec.domains)
            for spec in specs
        ],
    )


def _member(
    site: Site, name: str, model: str, backend: str, domains: tuple[str, ...]
) -> MemberView:
    here = Q(run__observation__case__site=site, run__trial=False, member=name)
    jobs = MemberJob.objects.filter(here).aggregate(
        done=Count("pk", filter=Q(status=MemberJob.Status.DONE)),
        failed=Count("pk", filter=Q(status=MemberJob.Status.FAILED)),
    )
    agreement = _agreement(here)
    return MemberView(
        name=name,
        model=model,
        backend=backend,
        domains=domains,
        answered=jobs["done"],
        failed=jobs["failed"],
        median_s=_median_seconds(here),
        agreement=sum(agreement) / len(agreement) if agreement else None,
        compared=len(agreement),
    )


def _median_seconds(here: Q) -> float | None:
    """Seconds a case: a member's stages of one run together."""
    rows = StageTrace.objects.filter(here).order_by("-pk").values_list("run_id", "seconds")
    seconds: dict[object, float] = {}
    for run_id, took in rows[: RECENT * len(Stage)]:
        seconds[run_id] = seconds.get(run_id, 0.0) + took
    return median(seconds.values()) if seconds else None


def _agreement(here: Q) -> list[bool]:
    rows = (
        StageTrace.objects.filter(here, stage=Stage.ANALYSIS, valid=True)
        .filter(run__observation__case__status=CaseStatus.RESOLVED)
        .values_list("fields", "run__observation__case__label")
    )
    return [fields.get("label") == label for fields, label in rows]
