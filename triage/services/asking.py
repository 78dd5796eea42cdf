"""At home people are asked one after the other until somebody answers."""

from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from inference import dispatch
from inference.services.sweep import each
from triage import events
from triage.choices import WAITING, Purpose, ReviewAction
from triage.errors import Conflict, Refused
from triage.models import (
    Ask,
    Case,
    Consent,
    DeviceToken,
    Membership,
    Review,
    Site,
    Snooze,
)
from triage.selectors.asking import (
    CALLED,
    READ,
    Held,
    Home,
    homes,
    is_critical,
    is_due,
    next_person,
    open_ask,
    unanswered,
)
from triage.selectors.consents import ENDING
from triage.services.history import record

PUSH_ASK = "triage.tasks.push_ask"
PUSH_CALL = "triage.tasks.push_call"
TRIAGE_QUEUE = "triage"
CONSENT_DAYS, LONGEST_CONSENT = 365, 730
LONGEST_SNOOZE = timedelta(days=7)


def ask_next(*, case: Case, now: datetime | None = None) -> Ask | None:
    """Ask the next person of the household, if it is time to; None where nobody is asked now."""
    now = now or timezone.now()
    with transaction.atomic():
        locked = Case.objects.select_for_update(of=("self",)).select_related("site").get(pk=case.pk)
        prefetch_related_objects([locked], *READ)
        if locked.status not in WAITING or not is_due(locked, now):
            return None
        _one_ask_at_a_time(locked.site)
        person = next_person(locked, now)
        if person is None:
            return None
        ask = Ask.objects.create(case=locked, person_id=person.user_id, asked_at=now)
        record("asked", site=locked.site, case=locked, person=person.user.get_username())
        transaction.on_commit(lambda: _tell(ask), robust=True)
    return ask


def ask_overdue() -> int:
    """Ask on where nobody was asked or nobody has answered; returns of how many cases."""
    now = timezone.now()
    return sum(each(home.waiting, partial(_ask_if_free, home=home)) for home in homes(now))


def call_where_nobody_answers() -> int:
    """Call all of a household once about what is critical and nobody answers; returns how many.

    The line of the history keeps it at once: the same case calls nobody again.
    """
    left = [
        case
        for home in homes(timezone.now())
        for case in unanswered(home)
        if not home.was_called(case)
    ]
    return each(left, _call_everybody)


def not_sure(*, case: Case, user: AbstractBaseUser, comment: str = "") -> Ask | None:
    """This person cannot say: the next one is asked at once.

    Returns:
        Whose turn it is now; None where nobody else can be asked.

    Raises:
        Conflict: it has been answered meanwhile, or waits for nobody.
    """
    with transaction.atomic():
        locked = Case.objects.select_for_update(of=("self",)).select_related("site").get(pk=case.pk)
        if locked.status not in WAITING:
            raise Conflict(_("This picture waits for nobody any more."), "not_waiting")
        Review.objects.create(
            case=locked, reviewer_id=user.pk, action=ReviewAction.PASS, comment=comment[:2000]
        )
        record("passed on", site=locked.site, actor=user, case=locked)
        site_id, case_id = locked.site_id, locked.pk
        transaction.on_commit(lambda: events.announce(site_id, "queue", case_id), robust=True)
    return ask_next(case=case) or open_ask(case, timezone.now())


def snooze(*, membership: Membership, camera: DeviceToken | None, hours: float) -> Snooze:
    """Not to be asked about a camera, or about what people send, for a while.

    What this person is asked of it now goes on to the next one.

    Raises:
        Refused: the camera is another site's, or the while is not between 0 and 7 days.
    """
    if camera is not None and camera.site_id != membership.site_id:
        raise Refused(_("There is no such camera here."), "camera")
    if not 0 < hours <= LONGEST_SNOOZE / timedelta(hours=1):
        raise Refused(_("Choose a time of at most seven days."), "hours")
    until = timezone.now() + timedelta(hours=hours)
    with transaction.atomic():
        Snooze.objects.filter(membership=membership, camera=camera).delete()
        made = Snooze.objects.create(membership=membership, camera=camera, until=until)
    here = Case.objects.filter(site=membership.site_id, camera=camera, status__in=WAITING)
    for case in here.filter(asks__person=membership.user_id).distinct():
        ask_next(case=case)
    events.announce(membership.site_id, "queue")
    return made


def end_snooze(*, membership: Membership, camera: DeviceToken | None) -> None:
    Snooze.objects.filter(membership=membership, camera=camera).delete()


def set_quiet_hours(*, membership: Membership, begin: time | None, end: time | None) -> None:
    """Only critical cases are asked of this person from `begin` to `end`; None and None end that.

    Raises:
        Refused: only one of the two was given, or both are the same.
    """
    if (begin is None) != (end is None) or (begin is not None and begin == end):
        raise Refused(_("Quiet hours need a beginning and another end."), "quiet")
    membership.quiet_from, membership.quiet_until = begin, end
    membership.save(update_fields=["quiet_from", "quiet_until"])


def consent(
    *,
    site: Site,
    person: AbstractBaseUser,
    purpose: str,
    given: bool,
    days: int = CONSENT_DAYS,
) -> Consent:
    """Say yes or no to a Purpose from now on; a new yes renews what was said before.

    Args:
        days: after which a yes to being shown ends by itself, 1 to LONGEST_CONSENT.

    Raises:
        Refused: there is no such purpose, or the time is none.
    """
    if purpose not in Purpose.values:
        raise Refused(_("There is nothing of that name to consent to."), "purpose")
    if not 1 <= days <= LONGEST_CONSENT:
        raise Refused(_("Consent lasts 1 to {0} days.").format(LONGEST_CONSENT), "days")
    now = timezone.now()
    until = now + timedelta(days=days) if given and purpose in ENDING else None
    with transaction.atomic():
        said = Consent.objects.create(
            site=site, person_id=person.pk, purpose=purpose, given=given, said_at=now, until=until
        )
        told: dict[str, Any] = {"until": until.date().isoformat()} if until else {}
        record(
            "consented" if given else "withdrew consent",
            site=site,
            actor=person,
            purpose=purpose,
            **told,
        )
        transaction.on_commit(lambda: events.announce(site.pk, "queue"), robust=True)
    return said


def _ask_if_free(case: Case, home: Home) -> Ask | None:
    """Nothing is locked, and nothing more is read, where nobody could be asked of it."""
    if not is_due(case, home.now, home) or next_person(case, home.now, home) is None:
        return None
    ask = ask_next(case=case)
    if ask:
        home.held.append(Held(case.pk, ask.person_id, is_critical(case)))
    return ask


def _call_everybody(case: Case) -> bool:
    with transaction.atomic():
        locked = Case.objects.select_for_update(of=("self",)).select_related("site").get(pk=case.pk)
        if locked.status not in WAITING or Home(locked.site, timezone.now()).was_called(locked):
            return False
        record(CALLED, site=locked.site, case=locked)
        case_id = str(locked.pk)
        transaction.on_commit(
            lambda: dispatch.hint(PUSH_CALL, case_id, queue=TRIAGE_QUEUE), robust=True
        )
    return True


def _one_ask_at_a_time(site: Site) -> None:
    """Two cases of a household are not asked of the same person in the same moment."""
    people = Membership.objects.select_for_update(no_key=True).filter(site=site)
    list(people.order_by("pk").values_list("pk"))


def _tell(ask: Ask) -> None:
    events.announce(ask.case.site_id, "case", ask.case_id)
    events.announce(ask.case.site_id, "queue")
    dispatch.hint(PUSH_ASK, ask.pk, queue=TRIAGE_QUEUE)
