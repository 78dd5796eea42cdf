"""Writing down who did what."""

from collections.abc import Mapping

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.utils import timezone

from triage.chain import name_of, sign
from triage.models import AuditEvent, Case, ChainHead, Site
from triage.selectors.chains import hash_of


def record(
    verb: str,
    *,
    site: Site,
    actor: AbstractBaseUser | None = None,
    case: Case | None = None,
    **details: object,
) -> AuditEvent:
    """Append one line to the site's history; `details` must be JSON and hold no photo, no name.

    It is linked to the line before it in its chain: that of the case, or that of the site. Only
    what concerns the same chain waits for it, until the transaction that it is part of ends.
    """
    with transaction.atomic(savepoint=False):
        head = _locked_head(site, case) or ChainHead(site=site, case=case)
        event = AuditEvent(verb=verb, details=details, actor_id=actor.pk if actor else None)
        _link(head, event)
        event.save()
        head.save()
    return event


def record_each(verb: str, details: Mapping[Case, Mapping[str, object]]) -> None:
    """Append one line of the machine's to the history of each of these cases, with its details.

    The caller has locked them all.
    """
    with transaction.atomic(savepoint=False):
        locked = ChainHead.objects.filter(case__in=details).select_for_update(no_key=True)
        begun = {head.case_id: head for head in locked.order_by("case")}
        heads = [begun.get(case.pk) or ChainHead(site=case.site, case=case) for case in details]
        events = [AuditEvent(verb=verb, details=dict(one)) for one in details.values()]
        for head, event in zip(heads, events, strict=True):
            _link(head, event)
        AuditEvent.objects.bulk_create(events)
        ChainHead.objects.bulk_update(begun.values(), ["length", "hash", "signature"])
        ChainHead.objects.bulk_create(head for head in heads if head.case_id not in begun)


def _link(head: ChainHead, event: AuditEvent) -> None:
    """Make the event the next of a chain, and its end; neither is stored here."""
    event.site_id, event.case_id, event.created_at = head.site_id, head.case_id, timezone.now()
    event.position, event.previous = head.length + 1, head.hash
    event.hash = hash_of(event)
    head.length, head.hash = event.position, event.hash
    head.signature = _signature(head)


def start_chain(site: Site) -> None:
    """A site's chain begins with the site: one that is missing has been removed."""
    head = ChainHead(site=site)
    head.signature = _signature(head)
    head.save()


def record_first(verb: str, *, case: Case, actor: AbstractBaseUser) -> None:
    """Append the line unless this person has it in the case's history already."""
    if not AuditEvent.objects.filter(case=case, actor_id=actor.pk, verb=verb).exists():
        record(verb, site=case.site, actor=actor, case=case)


def _locked_head(site: Site, case: Case | None) -> ChainHead | None:
    """The end of the chain, or None for a case of which nothing is written yet.

    The case's row is locked before its head, as by all who change a case: no two wait in a ring,
    and no two begin a chain. Storing an event reads the case's row, and so waits for who holds it.
    """
    if case and connection.features.has_select_for_update:
        Case.objects.select_for_update(no_key=True).values_list("pk").get(pk=case.pk)
    heads = ChainHead.objects.filter(site=site, case=case)
    return heads.select_for_update(no_key=True).first()


def _signature(head: ChainHead) -> str:
    chain = name_of(head.site_id, head.case_id)
    return sign(settings.ALARM_AUDIT_KEYS[0], chain=chain, length=head.length, last=head.hash)
