"""Writing down who did what."""

from django.contrib.auth.models import AbstractBaseUser

from triage.models import AuditEvent, Case, Site


def record(
    verb: str,
    *,
    site: Site,
    actor: AbstractBaseUser | None = None,
    case: Case | None = None,
    **details: object,
) -> AuditEvent:
    """Append one line to the site's history; `details` must be JSON and hold no photo, no name."""
    return AuditEvent.objects.create(
        site=site, case=case, actor_id=actor.pk if actor else None, verb=verb, details=details
    )


def record_first(verb: str, *, case: Case, actor: AbstractBaseUser) -> None:
    """Append the line unless this person has it in the case's history already."""
    if not AuditEvent.objects.filter(case=case, actor_id=actor.pk, verb=verb).exists():
        record(verb, site=case.site, actor=actor, case=case)
