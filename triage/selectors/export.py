"""A site's cases for other programs: as a table, line by line, or for Label Studio.

What is hidden from the reader on the page is hidden here: the machine's answer about a case that is
still to be answered blind, and the label of a reading that a colleague has yet to follow.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, Q, QuerySet

from triage.choices import ALL_WAITING, SETTLED, WAITING, CaseStatus, ExportForm
from triage.models import Case, Decision, Site
from triage.selectors.readings import standing
from triage.selectors.rows import is_blind, latest_decision
from triage.selectors.teams import cases_for

CHUNK = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Exported:
    """One case; empty is what is not known, or not to be known yet.

    label              the experts'; answers are how many people gave one
    machine_label      the ensemble's, with its decision, score, threshold and policy's version
    label_probability  with which an expert was going to label it: weigh by its inverse
    """

    case: str
    domain: str
    subject: str
    source: str
    received_at: str
    status: str
    label: str
    answers: int
    resolved_at: str
    machine_label: str
    outcome: str
    method: str
    score: float | None
    threshold: float | None
    policy: int | None
    label_probability: float | None
    audited: bool | None


def exported(site: Site, viewer: AbstractBaseUser, status: str = "") -> Iterator[Exported]:
    """The site's cases as this person may know them, the oldest first, a chunk at a time."""
    # A gold case is there as long as any other case would be without a label: no longer.
    told = cases_for(site, viewer).filter(Q(repeats=None) | ~Q(status__in=SETTLED))
    cases = _cases(told, status)
    last: Case | None = None
    while True:
        chunk = list((_after(cases, last) if last else cases)[:CHUNK])
        for case in chunk:
            yield _exported(case, viewer)
        if len(chunk) < CHUNK:
            return
        last = chunk[-1]


def written(rows: Iterator[Exported], form: ExportForm) -> Iterator[str]:
    """The text of an export, piece by piece."""
    return {
        ExportForm.CSV: _csv,
        ExportForm.JSONL: _jsonl,
        ExportForm.LABEL_STUDIO: _label_studio,
    }[form](rows)


def _cases(cases: QuerySet[Case], status: str) -> QuerySet[Case]:
    cases = cases.order_by("created_at", "pk")
    if status == ALL_WAITING:
        cases = cases.filter(status__in=WAITING)
    elif status in CaseStatus.values:
        cases = cases.filter(status=status)
    return cases.select_related("subject", "camera").prefetch_related(
        Prefetch("decisions", Decision.objects.select_related("policy").order_by("-pk")), "reviews"
    )


def _after(cases: QuerySet[Case], last: Case) -> QuerySet[Case]:
    later = cases.filter(created_at__gt=last.created_at)
    return later | cases.filter(created_at=last.created_at, pk__gt=last.pk)


def _exported(case: Case, viewer: AbstractBaseUser) -> Exported:
    decision = None if is_blind(case, viewer) else latest_decision(case)
    resolved = case.status == CaseStatus.RESOLVED
    return Exported(
        case=str(case.pk),
        domain=case.domain,
        subject=case.subject.pseudonym if case.subject else "",
        source=case.camera.name if case.camera else "",
        received_at=case.created_at.isoformat(),
        status=case.status,
        label=case.label if resolved else "",
        answers=len(standing(case.reviews.all())) if resolved else 0,
        resolved_at=case.resolved_at.isoformat() if resolved and case.resolved_at else "",
        machine_label=decision.label if decision else "",
        outcome=decision.outcome if decision else "",
        method=decision.method if decision else "",
        score=decision.score if decision else None,
        threshold=decision.threshold if decision else None,
        policy=decision.policy.version if decision and decision.policy else None,
        label_probability=decision.label_probability if decision else None,
        audited=decision.audited if decision else None,
    )


def _csv(rows: Iterator[Exported]) -> Iterator[str]:
    yield _line([field.name for field in fields(Exported)])
    for row in rows:
        yield _line([_cell(value) for value in asdict(row).values()])


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    """As a spreadsheet shows it: a text that a spreadsheet would run is told to be a text."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _jsonl(rows: Iterator[Exported]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(asdict(row), ensure_ascii=False) + "\n"


def _label_studio(rows: Iterator[Exported]) -> Iterator[str]:
    """Tasks with annotations and predictions, as Label Studio imports them."""
    yield "["
    for position, row in enumerate(rows):
        yield (",\n" if position else "\n") + json.dumps(_task(row), ensure_ascii=False)
    yield "\n]\n"


def _task(row: Exported) -> dict[str, Any]:
    said, seen = row.label, row.machine_label
    return {
        "data": {"image": f"/cases/{row.case}/photo/", "case": row.case, "subject": row.subject},
        "annotations": [{"result": [_choice(said)]}] if said else [],
        "predictions": [{"model_version": f"policy {row.policy}", "result": [_choice(seen)]}]
        if seen
        else [],
    }


def _choice(label: str) -> dict[str, Any]:
    return {
        "from_name": "label",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [label]},
    }
