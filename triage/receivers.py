"""What triage does when inference announces something, and when people sign in or must go."""

from typing import Any
from uuid import UUID

from allauth.account.signals import authentication_step_completed
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_removed
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from inference import tracing
from inference.models import Run
from inference.services.runs import left_to_the_sweep
from inference.signals import probe_ended, process_ends, run_progressed, runs_finished
from triage import events, sessions
from triage.models import Case, Membership, OrganisationRole, Site
from triage.services import people
from triage.services.decisions import decide_together
from triage.services.trials import go_on_after


@receiver(runs_finished)
def decide_cases(runs: list[Run], **_: Any) -> None:
    decide_together(runs=[run for run in runs if not run.trial])
    for run in [run for run in runs if run.trial]:
        with tracing.carried(run.trace_id), left_to_the_sweep(run):
            go_on_after(run_id=run.pk)


@receiver(run_progressed)
def show_progress(run_ids: list[UUID], **_: Any) -> None:
    runs = Run.objects.filter(pk__in=run_ids, trial=False)
    cases = Case.objects.filter(observation__runs__in=runs)
    for site_id, case_id in cases.values_list("site_id", "id"):
        events.announce(site_id, "case", case_id)


@receiver(process_ends)
def tell_what_is_due(**_: Any) -> None:
    events.tell_now()


@receiver(probe_ended)
def show_health(domain: str, **_: Any) -> None:
    for site_id in Site.objects.filter(domain=domain).values_list("pk", flat=True):
        events.announce(site_id, "ensemble")


@receiver(user_logged_in)
def begin_session(request: HttpRequest, **_: Any) -> None:
    sessions.begin(request.session)


@receiver(authentication_step_completed)
def keep_proof(request: HttpRequest, reauthenticated: bool = False, **_: Any) -> None:
    if reauthenticated:
        sessions.prove(request.session)


@receiver(user_locked_out)
def note_lock(request: HttpRequest, username: str, **_: Any) -> None:
    """Once a lock: while it lasts, axes says so at each further try, and counts no more."""
    failures = getattr(request, "axes_failures_since_start", None) or 0
    if failures == settings.AXES_FAILURE_LIMIT:
        people.note_lock(username)


@receiver(post_save, sender=Authenticator)
def note_factor_added(instance: Authenticator, created: bool, **_: Any) -> None:
    """allauth's own signal comes after the transaction."""
    if created and instance.type != Authenticator.Type.RECOVERY_CODES:
        people.note_factor(instance.user, added=True, kind=instance.type)


@receiver(authenticator_removed)
def note_factor_removed(user: User, authenticator: Any, **_: Any) -> None:
    people.note_factor(user, added=False, kind=authenticator.type)


@receiver(post_save, sender=User)
def send_away_the_disabled(instance: User, **_: Any) -> None:
    if not instance.is_active:
        people.send_away(instance)


@receiver(post_delete, sender=Membership)
@receiver(post_delete, sender=OrganisationRole)
def send_away_who_lost_a_role(instance: Membership | OrganisationRole, **_: Any) -> None:
    if user := User.objects.filter(pk=instance.user_id).first():
        people.send_away(user)
