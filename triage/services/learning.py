"""Learning mode: a new site, and a new camera, asks people about everything until it has shown
that the ensemble may be trusted there."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from triage import events
from triage.errors import Conflict
from triage.models import Learning, Site
from triage.selectors.learning import (
    FEWEST_CHECKED,
    Source,
    current,
    is_learning,
    promising,
    standing,
)
from triage.services.history import record


def begin(source: Source, *, learning: bool = True) -> Learning:
    """The first row of a source: it learns, or is trusted from the start."""
    now = timezone.now()
    return Learning.objects.create(
        site=source.site,
        domain=source.domain,
        camera=source.camera,
        started_at=now,
        ended_at=None if learning else now,
    )


def start_again(*, source: Source, actor: AbstractBaseUser) -> Learning:
    """Put a trusted source back into learning; labels from before no longer count.

    Raises:
        Conflict: it is learning already.
    """
    with transaction.atomic():
        _lock(source.site)
        if is_learning(source):
            raise Conflict(_("{0} is learning already.").format(_name(source)), "learning")
        row = begin(source)
        _tell("learning started", source, actor)
    return row


def end_by_hand(*, source: Source, actor: AbstractBaseUser) -> Learning:
    """Trust a source before its labels show it, on a person's word.

    Raises:
        Conflict: it is not learning.
    """
    with transaction.atomic():
        _lock(source.site)
        if not is_learning(source):
            raise Conflict(_("{0} is not learning any more.").format(_name(source)), "not_learning")
        return _end(source, actor)


def end_where_earned(*, site: Site, domain: str) -> int:
    """End the learning of every source whose labels are enough and good; returns how many."""
    return sum(_end_if_earned(one) for one in promising(site) if one.domain == domain)


def _end_if_earned(source: Source) -> bool:
    row = current(source)
    # Before the lock, for it takes a while; who starts to learn again meanwhile has another row.
    found = standing(source, row.started_at if row else None)
    if not found.earned:
        return False
    with transaction.atomic():
        _lock(source.site)
        if current(source) != row or not is_learning(source):
            return False
        _end(source, None, found.to_dict())
    return True


def _end(
    source: Source, actor: AbstractBaseUser | None, evidence: dict[str, int] | None = None
) -> Learning:
    row = current(source) or begin(source)
    row.ended_at = timezone.now()
    row.ended_by_id = actor.pk if actor else None
    row.evidence = evidence or {}
    row.save(update_fields=["ended_at", "ended_by", "evidence"])
    _tell("learning ended", source, actor, **row.evidence)
    return row


def objections(source: Source) -> list[str]:
    """Why nothing of this source is accepted, as a code of triage.reasons; empty once trusted."""
    if not is_learning(source):
        return []
    return [f"{'learning' if source.camera else 'learning_site'}:{FEWEST_CHECKED}"]


def _lock(site: Site) -> None:
    Site.objects.select_for_update(no_key=True).get(pk=site.pk)


def _tell(verb: str, source: Source, actor: AbstractBaseUser | None, **counts: int) -> None:
    camera = source.camera.name if source.camera else ""
    record(verb, site=source.site, actor=actor, case=None, camera=camera, **counts)
    site_id = source.site.pk
    transaction.on_commit(lambda: events.announce(site_id, "policy"))


def _name(source: Source) -> str:
    return source.camera.name if source.camera else source.site.name
