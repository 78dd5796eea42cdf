"""A version of a domain tried on past cases: the members are asked again, and nothing is decided.

Only a few cases are out at a time, so that what has just come in never waits behind a trial. The
next one goes out when one has come back; the sweep goes on where a process died in between.
"""

from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.ensemble import members_of
from inference.models import Run
from inference.services.definitions import kept
from inference.services.runs import open_run
from inference.services.sweep import each
from triage import events
from triage.choices import CaseStatus, Purpose
from triage.errors import Conflict, Refused
from triage.models import Case, DomainVersion, Site, Trial, TrialRun
from triage.selectors.consents import is_withdrawn
from triage.services.history import record

AT_ONCE = 2
FEWEST, MOST, USUAL = 1, 200, 30


def start_trial(
    *, site: Site, version: DomainVersion, cases: int = USUAL, actor: AbstractBaseUser
) -> Trial:
    """Ask the members about the newest resolved cases of the site, by this version.

    Raises:
        Refused: there is nobody to ask, or nothing to ask about, or the people here have withdrawn
            their consent.
        Conflict: another trial is going on here.
    """
    if not FEWEST <= cases <= MOST:
        raise Refused(_("A trial takes {0} to {1} cases.").format(FEWEST, MOST), "cases")
    if version.domain != site.domain:
        raise Refused(_("This site watches for something else: it has no past cases."), "other")
    if not members_of(version.domain):
        raise Refused(_("No member takes this domain: there is nobody to ask."), "no_members")
    if is_withdrawn(site, Purpose.WATCH):
        raise Refused(_("The people here have withdrawn consent: nothing is judged."), "consent")
    wanted = _newest_resolved(site, cases)
    if not wanted:
        raise Refused(_("No past case here has an expert's answer yet."), "no_cases")
    try:
        with transaction.atomic():
            trial = Trial.objects.create(
                site=site, version=version, cases=wanted, asked_by_id=actor.pk
            )
            record(
                "trial started",
                site=site,
                actor=actor,
                domain=version.domain,
                version=version.version,
                cases=len(wanted),
            )
    except IntegrityError as error:
        raise Conflict(
            _("Another trial is going on here. Wait until it is over."), "busy"
        ) from error
    advance(trial_id=trial.pk)
    return trial


def advance(*, trial_id: int) -> bool:
    """Send out the next cases of a trial, or end it; returns whether anything was done."""
    with transaction.atomic():
        trial = Trial.objects.select_for_update(of=("self",)).get(pk=trial_id)
        if trial.ended_at:
            return False
        asked = list(trial.runs.values_list("case_id", "run__status"))
        out = sum(status in Run.UNFINISHED for _case, status in asked)
        done = {case_id for case_id, _status in asked}
        due = [case_id for case_id in _still_there(trial) if case_id not in done]
        if not members_of(trial.version.domain):
            due = []
        for case_id in due[: max(0, AT_ONCE - out)]:
            _ask(trial, case_id)
        if not due and not out:
            trial.ended_at = timezone.now()
            trial.save(update_fields=["ended_at"])
        transaction.on_commit(lambda: events.announce(trial.site_id, "domain"))
        return bool(due) or not out


def go_on_after(*, run_id: UUID) -> None:
    """A run has come back: if it belongs to a trial, the next one may go out."""
    row = TrialRun.objects.filter(run=run_id).values_list("trial_id", flat=True).first()
    if row:
        advance(trial_id=row)


def advance_all() -> int:
    """What a process that died has left standing; returns how many trials went on."""
    open_ones = Trial.objects.filter(ended_at=None).values_list("pk", flat=True)
    return each(list(open_ones), lambda pk: advance(trial_id=pk))


def _newest_resolved(site: Site, n: int) -> list[str]:
    """Ids of the newest resolved cases of the site whose pictures are still there."""
    cases = Case.objects.filter(
        site=site, domain=site.domain, status=CaseStatus.RESOLVED, repeats=None
    )
    with_picture = cases.filter(observation__media__isnull=False).order_by("-resolved_at", "-pk")
    return [str(pk) for pk in with_picture.values_list("pk", flat=True)[:n]]


def _still_there(trial: Trial) -> list[UUID]:
    """Its cases in order, without what was deleted meanwhile."""
    there = set(Case.objects.filter(pk__in=trial.cases).values_list("pk", flat=True))
    return [case_id for case_id in map(UUID, trial.cases) if case_id in there]


def _ask(trial: Trial, case_id: UUID) -> None:
    case = Case.objects.select_related("observation").get(pk=case_id)
    domain = kept(trial.version.definition_id)
    run = open_run(observation=case.observation, domain=domain, trial=True)
    TrialRun.objects.create(trial=trial, case=case, run=run)
