"""How long media are kept, what keeps them longer, and what was erased."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.choices import CaseStatus
from triage.models import Case, Erasure, LegalHold, Site

SHOWN = 50
# Nothing that waits for a person, or is in somebody's hands, is ever erased.
ERASABLE = (CaseStatus.ACCEPTED, CaseStatus.RESOLVED, CaseStatus.RETAKE)
# class -> (field of the site, status, when its time begins)
CLASSES: dict[str, tuple[str, CaseStatus, str]] = {
    "accepted": ("keep_accepted_days", CaseStatus.ACCEPTED, "created_at"),
    "resolved": ("keep_resolved_days", CaseStatus.RESOLVED, "resolved_at"),
    "unresolved": ("keep_unresolved_days", CaseStatus.RETAKE, "created_at"),
}


@dataclass(frozen=True)
class ClassRow:
    """One class of cases: how many days it is kept (None: for good), and how many there are."""

    name: str
    title: str
    days: int | None
    cases: int


@dataclass(frozen=True)
class ErasureRow:
    """`pending` while a file could not be deleted yet; nobody is served it any more."""

    erasure: Erasure
    number: str
    who: str
    reason: str
    pending: bool


@dataclass(frozen=True)
class RetentionPage:
    classes: list[ClassRow]
    holds: list[LegalHold]
    lifted: list[LegalHold]
    erasures: list[ErasureRow]


def retention_page(site: Site) -> RetentionPage:
    holds = LegalHold.objects.filter(site=site).select_related(
        "case", "subject", "set_by", "lifted_by"
    )
    erasures = Erasure.objects.filter(case__site=site).select_related("case", "by")[:SHOWN]
    return RetentionPage(
        classes=_classes(site),
        holds=list(holds.filter(lifted_at=None)),
        lifted=list(holds.exclude(lifted_at=None)[:SHOWN]),
        erasures=[_row(erasure) for erasure in erasures],
    )


def overdue(site: Site, name: str) -> QuerySet[Case]:
    """The cases of a class whose time is over and that no hold keeps, the oldest first."""
    field, status, since = CLASSES[name]
    days = getattr(site, field)
    if days is None:
        return Case.objects.none()
    until = timezone.now() - timedelta(days=days)
    cases = Case.objects.filter(
        site=site, status=status, repeats=None, erased_at=None, **{f"{since}__lt": until}
    )
    return cases.exclude(_held()).order_by(since)


def is_held(case: Case) -> bool:
    """Whether a legal hold is on the case, its subject, or what it repeats or is repeated by."""
    return Case.objects.filter(_held(), pk=case.pk).exists()


def why_erased(erasure: Erasure) -> str:
    """The reason in words; what retention erased says how long it was kept."""
    if erasure.by_id is None:
        return _("it was kept for {0} days, as this site keeps such cases").format(erasure.reason)
    return erasure.reason


def erasure_of(case: Case) -> Erasure | None:
    if case.erased_at is None:
        return None
    return Erasure.objects.select_related("by").filter(case=case).first()


def _held() -> Exists:
    on = Q(case=OuterRef("pk")) | Q(subject__isnull=False, subject=OuterRef("subject"))
    on |= Q(case=OuterRef("repeats")) | Q(case__repeats=OuterRef("pk"))
    on |= Q(subject__isnull=False, subject=OuterRef("repeats__subject"))
    return Exists(LegalHold.objects.filter(on, site=OuterRef("site"), lifted_at=None))


def _classes(site: Site) -> list[ClassRow]:
    titles = {
        "accepted": _("Accepted by the ensemble"),
        "resolved": _("Answered by a person"),
        "unresolved": _("Not judged, asked for anew"),
    }
    kept = Case.objects.filter(site=site, repeats=None, erased_at=None)
    return [
        ClassRow(name, titles[name], getattr(site, field), kept.filter(status=status).count())
        for name, (field, status, _since) in CLASSES.items()
    ]


def _row(erasure: Erasure) -> ErasureRow:
    return ErasureRow(
        erasure=erasure,
        number=erasure.case.number,
        who=erasure.by.get_username() if erasure.by else _("the system"),
        reason=why_erased(erasure),
        pending=erasure.files_gone_at is None,
    )
