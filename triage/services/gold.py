"""Putting settled cases with known answers into the queue again, and saying which these are."""

import logging
import random
from functools import partial

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.services.observations import repeat_observation
from triage.choices import CaseStatus
from triage.errors import Conflict
from triage.events import announce_to
from triage.models import Case, GoldCase, Site
from triage.selectors.due import due
from triage.selectors.gold import (
    MADE_KNOWN,
    MADE_UNKNOWN,
    OPEN,
    OPEN_FOR,
    WAS_GOLD,
    candidates,
    readers_for,
)
from triage.selectors.rows import latest_decision, measures
from triage.services.history import record
from triage.services.states import move, origin, tell_of

TRIES = 5
log = logging.getLogger(__name__)
_chance = random.SystemRandom()


def drawn(share: float) -> bool:
    return _chance.random() < share


def join_at_times(*, site: Site, reader: AbstractBaseUser, share: float) -> None:
    """With that probability put one into the queue; whoever has just taken a case has it, whatever
    goes wrong here."""
    if not drawn(share):
        return
    try:
        with transaction.atomic():
            put_again(site=site, reader=reader)
    except Exception:
        log.exception("no gold case joined the queue")


def put_again(*, site: Site, reader: AbstractBaseUser) -> Case | None:
    """Put one case with a known answer into the queues of this person and of all who do not know
    it; None where there is none for them.

    It looks as one that has just come in and was deferred. Whoever is first answers it.
    """
    known = candidates(site)
    for source in _chance.sample(known, min(TRIES, len(known))):
        source.site = site
        told = measures(latest_decision(source))
        if not told and reader.pk in readers_for(source) and (case := _put(source)):
            return case
    return None


def _put(source: Case) -> Case | None:
    with transaction.atomic():
        if not _stays_settled(source):
            return None
        case = Case.objects.create(
            site=source.site,
            domain=source.domain,
            definition_id=source.definition_id,
            observation=repeat_observation(source.observation),
            status=CaseStatus.DEFERRED,
            version=2,  # as of any that was opened and then decided
            waiting_due_at=timezone.now(),
            sha256=f"{_chance.getrandbits(256):064x}",  # that of the file is the settled case's
            opened_by_id=source.opened_by_id,
            blind=drawn(source.site.blind_share),
            repeats=source,
        )
        decision = latest_decision(case)
        assert decision is not None  # a candidate has been decided
        case.due_at = case.waiting_due_at = due(case, decision)
        case.save(update_fields=["due_at", "waiting_due_at"])
        gold = GoldCase.objects.create(case=case, label=source.label)
        gold.readers.set(readers_for(source))
        record("opened", site=case.site, case=case)
        transaction.on_commit(partial(tell_of, case), robust=True)
    return case


def _stays_settled(source: Case) -> bool:
    """Lock it, unless somebody is just erasing or reopening it; it is in no queue already."""
    found = Case.objects.filter(
        site=source.site, pk=source.pk, status=CaseStatus.RESOLVED, erased_at=None
    )
    if connection.features.has_select_for_update_skip_locked:
        found = found.select_for_update(skip_locked=True, no_key=True, of=("self",))
    again = Case.objects.filter(repeats=source, status__in=OPEN, erased_at=None)
    fresh = again.filter(created_at__gt=timezone.now() - OPEN_FOR)
    return found.first() is not None and not fresh.exists()


def note_answer(*, case: Case, user: AbstractBaseUser, label: str) -> None:
    """From now on the history says what it was, for auditors."""
    record(
        WAS_GOLD,
        site=case.site,
        actor=user,
        case=case,
        repeats=Case(pk=case.repeats_id).number,
        known=case.gold.label,
        agrees=label == case.gold.label,
    )


def mark(*, case: Case, actor: AbstractBaseUser, known: bool) -> None:
    """Say of a settled case that its label is beyond doubt, or that it is not.

    What is not known is shown to nobody again, and answers to it count no more.

    Raises:
        Conflict: nobody has settled the case, its picture is erased, or it is marked so already.
    """
    with transaction.atomic():
        locked = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
        if locked.status != CaseStatus.RESOLVED or locked.repeats_id:
            raise Conflict(_("Only a case that somebody has settled can be marked."), "not_settled")
        if locked.erased_at:
            raise Conflict(_("It has been erased already."), "erased")
        if locked.known == known:
            raise Conflict(_("It is marked so already."), "marked")
        locked.known = known
        locked.save(update_fields=["known"])
        record(MADE_KNOWN if known else MADE_UNKNOWN, site=case.site, actor=actor, case=locked)
        if not known:
            for again in locked.repeated_by.filter(status__in=OPEN, erased_at=None):
                _withdraw_open(again, case.site)


def _withdraw_open(case: Case, site: Site) -> None:
    """Whoever is just answering it is waited for, and has answered."""
    locked = Case.objects.select_for_update().get(pk=case.pk)
    locked.site = site
    if locked.status in OPEN and not locked.erased_at:
        withdraw(locked)


def withdraw(case: Case) -> None:
    """Take a repeated case out of all queues and hands; the caller has locked it."""
    readers = list(case.gold.readers.values_list("pk", flat=True))
    case.gold.readers.clear()
    case.leases.filter(ended_at=None).update(ended_at=timezone.now())
    if case.status == CaseStatus.IN_REVIEW:
        move(case, origin(case))
    site_id, case_id = case.site_id, case.pk
    transaction.on_commit(lambda: announce_to(site_id, readers, "queue", case_id), robust=True)
