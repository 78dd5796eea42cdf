"""Erasing what was seen. The hash, the labels and the numbers stay, and a tombstone says why."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.models import Hypothesis, Media, MemberJob, Observation, StageTrace
from inference.services.observations import forget_files
from inference.services.sweep import each
from triage.errors import Conflict, Refused
from triage.models import Case, Erasure, LegalHold, Site, Subject
from triage.selectors.audit_log import cases_numbered
from triage.selectors.gold import OPEN
from triage.selectors.retention import CLASSES, ERASABLE, is_held, overdue
from triage.services import gold
from triage.services.history import record
from triage.services.states import tell_of

log = logging.getLogger(__name__)
MAX_REASON = 200
LONGEST_DAYS = 36500
BATCH = 200
# Of what a member said, what is no words of its own.
KEPT_FIELDS = frozenset({"label", "frame"})
FILES = ("original", "shown", "thumbnail", "clip")


@dataclass(frozen=True)
class SubjectErased:
    """How many of a subject's cases were erased, and how many not: they still wait for a person."""

    erased: int
    waiting: int


def erase_case(*, case: Case, actor: AbstractBaseUser | None, reason: str) -> Erasure:
    """Erase a case's media and all words about them; from now on nobody is served them.

    The files go once this is stored; one that cannot be deleted is tried again by the sweep.

    Args:
        actor: None where the site's retention erases, and `reason` is the days it was kept.

    Raises:
        Refused: no reason is given, or it is too long.
        Conflict: it is erased already, a person still needs the picture, or a legal hold keeps it.
    """
    reason = _checked(reason)
    with transaction.atomic():
        locked = _locked(case)
        repeats = [_locked(again) for again in locked.repeated_by.filter(erased_at=None)]
        _check_erasable(locked)  # once all are locked: a hold on any of them keeps all
        for again in repeats:
            if again.status in OPEN:
                gold.withdraw(again)
            _erase(again, actor, reason)
        return _erase(locked, actor, reason)


def _erase(case: Case, actor: AbstractBaseUser | None, reason: str) -> Erasure:
    """Erase a case that the caller has locked."""
    erasure = Erasure.objects.create(case=case, by_id=actor.pk if actor else None, reason=reason)
    _blank(case)
    case.erased_at, case.version = erasure.erased_at, case.version + 1
    case.save(update_fields=["erased_at", "version"])
    told = {"reason": reason, "sha256": case.sha256}
    record("erased", site=case.site, actor=actor, case=case, **told)
    transaction.on_commit(partial(_remove_files, erasure), robust=True)
    transaction.on_commit(partial(tell_of, case), robust=True)
    return erasure


def erase_subject(*, subject: Subject, actor: AbstractBaseUser, reason: str) -> SubjectErased:
    """Erase all cases of a subject that nobody waits for, and the pseudonym once none is left.

    Raises:
        Refused: no reason is given, or it is too long.
        Conflict: a legal hold is on the subject or on one of its cases; then nothing is erased.
    """
    cases = list(subject.cases.filter(erased_at=None).order_by("created_at"))
    if any(is_held(case) for case in cases):
        raise _on_hold()
    ready = [case for case in cases if case.status in ERASABLE]
    for case in ready:
        erase_case(case=case, actor=actor, reason=reason)
    if len(ready) == len(cases):
        Subject.objects.filter(pk=subject.pk).update(pseudonym=f"erased {subject.pk}")
    record(
        "subject erased",
        site=subject.site,
        actor=actor,
        subject=subject.pk,
        reason=_checked(reason),
        erased=len(ready),
    )
    return SubjectErased(len(ready), len(cases) - len(ready))


def finish_erasures() -> int:
    """Delete the files that could not be deleted at once; returns of how many cases."""
    left = Erasure.objects.filter(files_gone_at=None).select_related("case__observation__media")
    return each(left[:BATCH], _remove_files)


def retain() -> int:
    """Erase what has been kept as long as its site says; returns how many cases that was."""
    return sum(_retain(site, name) for site in Site.objects.all() for name in CLASSES)


def _retain(site: Site, name: str) -> int:
    days = getattr(site, CLASSES[name][0])
    found = list(overdue(site, name)[:BATCH])
    return each(found, lambda case: erase_case(case=case, actor=None, reason=str(days)))


def set_retention(*, site: Site, actor: AbstractBaseUser, days: dict[str, int | None]) -> None:
    """Days for which media are kept, by class; None keeps them until somebody erases them.

    Raises:
        Refused: a number of days is none, or there is no such class.
    """
    if not set(days) <= set(CLASSES):
        raise Refused(_("There is no such class of cases."), "class")
    if any(one is not None and not 1 <= one <= LONGEST_DAYS for one in days.values()):
        raise Refused(_("Media are kept for at least one day, or for good."), "days")
    fields = {CLASSES[name][0]: value for name, value in days.items()}
    with transaction.atomic():
        for field, value in fields.items():
            setattr(site, field, value)
        site.save(update_fields=list(fields))
        record("set retention", site=site, actor=actor, days=days)


def hold(*, target: Case | Subject, actor: AbstractBaseUser, reason: str) -> LegalHold:
    """Keep a case, or all cases of a subject, from being erased.

    Raises:
        Refused: no reason is given, or it is too long.
        Conflict: a hold is on it already, or it is erased.
    """
    reason = _checked(reason)
    on: dict[str, Any] = {"case" if isinstance(target, Case) else "subject": target}
    with transaction.atomic():
        _lock(target)
        if LegalHold.objects.filter(site=target.site, lifted_at=None, **on).exists():
            raise Conflict(_("A legal hold is on it already."), "held")
        if isinstance(target, Case) and Erasure.objects.filter(case=target).exists():
            raise Conflict(_("It has been erased already."), "erased")
        held = LegalHold.objects.create(site=target.site, reason=reason, set_by_id=actor.pk, **on)
        _tell_hold("legal hold set", held, actor, reason)
    return held


def lift(*, held: LegalHold, actor: AbstractBaseUser, reason: str) -> None:
    """End a legal hold.

    Raises:
        Refused: no reason is given, or it is too long.
        Conflict: it was lifted already.
    """
    reason = _checked(reason)
    with transaction.atomic():
        lifted = LegalHold.objects.filter(pk=held.pk, lifted_at=None).update(
            lifted_at=timezone.now(), lifted_by_id=actor.pk, lifted_reason=reason
        )
        if not lifted:
            raise Conflict(_("This hold was lifted already."), "lifted")
        _tell_hold("legal hold lifted", held, actor, reason)


def find_target(site: Site, kind: str, name: str) -> Case | Subject:
    """The case with this number, or the subject with this pseudonym.

    Raises:
        Refused: the site has none.
    """
    if kind != "subject":
        return find_case(site, name)
    found = Subject.objects.select_related("site").filter(site=site, pseudonym=name).first()
    if found is None:
        raise _nothing()
    return found


def find_case(site: Site, number: str) -> Case:
    """Raises Refused where the site has no case of this number."""
    found = cases_numbered(site, number).select_related("site").first()
    if found is None:
        raise _nothing()
    return found


def _nothing() -> Refused:
    return Refused(_("There is no such case or subject at this site."), "target")


def _lock(target: Case | Subject) -> None:
    """Whoever is erasing it is waited for."""
    if isinstance(target, Case):
        Case.objects.select_for_update(no_key=True).get(pk=target.pk)
    else:
        Subject.objects.select_for_update(no_key=True).get(pk=target.pk)


def _tell_hold(verb: str, held: LegalHold, actor: AbstractBaseUser, reason: str) -> None:
    told: dict[str, object] = {"reason": reason, "hold": held.pk}
    if held.subject_id:
        told["subject"] = held.subject_id
    record(verb, site=held.site, actor=actor, case=held.case, **told)


def _locked(case: Case) -> Case:
    """The case, and its subject, so that no hold comes in between."""
    if case.subject_id:
        Subject.objects.select_for_update(no_key=True).filter(pk=case.subject_id).first()
    locked = Case.objects.select_for_update(of=("self",)).filter(pk=case.pk)
    return locked.select_related("site", "observation__media").get()


def _check_erasable(case: Case) -> None:
    if case.erased_at:
        raise Conflict(_("It has been erased already."), "erased")
    if case.status not in ERASABLE:
        raise Conflict(
            _("Case {0} is still needed: it is {1}. Erase it once it is answered.").format(
                case.number, case.get_status_display()
            ),
            "needed",
        )
    if is_held(case):
        raise _on_hold()


def _on_hold() -> Conflict:
    return Conflict(_("A legal hold keeps it. Lift the hold first."), "held")


def _checked(reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON or "\x00" in reason:
        raise Refused(_("Give a reason of at most {0} characters.").format(MAX_REASON), "reason")
    return reason


def _blank(case: Case) -> None:
    """All words about the picture, and what it looked like as features."""
    case.reviews.exclude(comment="").update(comment="")
    case.drafts.all().delete()
    case.glass_breaks.exclude(words="").update(words="")
    seen = case.observation_id
    # An answer that comes only now waits, and then finds nothing that it could be about.
    media = Media.objects.select_for_update().get(observation=seen)
    for trace in StageTrace.objects.filter(run__observation=seen).only("pk", "fields"):
        kept = {key: value for key, value in trace.fields.items() if key in KEPT_FIELDS}
        StageTrace.objects.filter(pk=trace.pk).update(raw_text="", error="", fields=kept)
    Hypothesis.objects.filter(run__observation=seen).update(reasoning="")
    MemberJob.objects.filter(run__observation=seen).update(error="")
    Observation.objects.filter(pk=case.observation_id).update(visual=None)
    media.frames.all().delete()
    for name in FILES:
        setattr(media, name, "")
    media.save(update_fields=FILES)


def _remove_files(erasure: Erasure) -> bool:
    try:
        forget_files(erasure.case.observation.media)
    except OSError as error:
        log.warning("files of case %s are not gone yet: %s", erasure.case.number, error)
        return False
    Erasure.objects.filter(pk=erasure.pk).update(files_gone_at=timezone.now())
    return True
