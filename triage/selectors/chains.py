"""Whether the history is as it was written: every hash, every place, every signed end."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from triage.chain import START, event_hash, is_signed, name_of
from triage.guards import missing_triggers
from triage.models import AuditEvent, Case, ChainHead, Site

Key = tuple[int, UUID | None]


@dataclass(frozen=True)
class Finding:
    """What is wrong with one chain, at the first place where it is; `kind` is for programs.

    kind: changed, removed, inserted, truncated, unsigned, missing, rewritten or unguarded
    """

    kind: str
    chain: str
    position: int | None = None

    @property
    def words(self) -> str:
        return _words()[self.kind]


@dataclass(frozen=True)
class Verification:
    """What was looked at (counts) and what was found."""

    events: int
    chains: int
    findings: list[Finding]

    @property
    def intact(self) -> bool:
        return not self.findings


def verify(site: Site | None = None) -> Verification:
    """Check the chains of a site, or all of them. Reads each event once; stores nothing.

    A chain that looks broken is read once more, held, for it may have grown meanwhile.
    """
    heads = {(head.site_id, head.case_id): head for head in _heads(site)}
    findings = [Finding("unguarded", name) for name in missing_triggers()]
    findings += [Finding("missing", name_of(*key)) for key in _unchained(site)]
    findings += [Finding("unsigned", name_of(*key)) for key in heads if not _signed(heads[key])]
    events, empty = 0, {key for key, head in heads.items() if head.length}
    for key, chain in groupby(_events(site), lambda one: (one.site_id, one.case_id)):
        rows = list(chain)
        events += len(rows)
        empty.discard(key)
        if _broken(rows, heads.get(key)) and (found := _again(key)):
            findings.append(found)
    findings += [Finding("truncated", name_of(*key), 1) for key in empty]
    return Verification(events, len(heads), findings)


def rewritten_since(lines: Iterable[str], site: Site | None = None) -> list[Finding]:
    """What an export (JSON lines) holds otherwise than the history does today.

    It finds what even the owner of the key could do: make a chain anew. Keep exports elsewhere.

    Raises:
        ValueError: a line is no JSON of an export.
    """
    return [found for line in lines if line.strip() and (found := _differs(json.loads(line), site))]


def _differs(row: dict[str, object], site: Site | None) -> Finding | None:
    try:
        chain, position, wanted = str(row["chain"]), int(str(row["position"])), row["hash"]
    except (KeyError, TypeError) as error:
        raise ValueError("no line of an export") from error
    kind, _, number = chain.partition("/")
    where = Q(case_id=UUID(number)) if kind == "case" else Q(case=None, site_id=int(number))
    events = AuditEvent.objects.filter(where, position=position, hash=wanted)
    if site:
        events = events.filter(site=site)
    return None if events.exists() else Finding("rewritten", chain, position)


def _again(key: Key) -> Finding | None:
    site_id, case_id = key
    of = Q(site_id=site_id, case_id=case_id)
    with transaction.atomic():
        heads = ChainHead.objects.select_for_update()
        head = heads.filter(of).first()
        rows = AuditEvent.objects.filter(of)
        return _broken(list(rows.order_by("position", "pk")), head)


def _broken(rows: list[AuditEvent], head: ChainHead | None) -> Finding | None:
    """The first break of one chain, whose events come in the order of their places."""
    name, last = name_of(rows[0].site_id, rows[0].case_id), START
    if head is None:
        return Finding("missing", name)
    for place, event in enumerate(rows, start=1):
        if event.position != place or place > head.length:
            gap = event.position > place and place <= head.length
            return Finding("removed" if gap else "inserted", name, place)
        if event.previous != last or event.hash != hash_of(event):
            return Finding("changed", name, place)
        last = event.hash
    if len(rows) < head.length:
        return Finding("truncated", name, len(rows) + 1)
    return None if last == head.hash else Finding("changed", name, len(rows))


def hash_of(event: AuditEvent) -> str:
    """The hash that an unchanged event has."""
    return event_hash(
        chain=name_of(event.site_id, event.case_id),
        position=event.position,
        at=event.created_at,
        actor=event.actor_id,
        verb=event.verb,
        details=event.details,
        previous=event.previous,
    )


def _signed(head: ChainHead) -> bool:
    return is_signed(
        settings.ALARM_AUDIT_KEYS,
        head.signature,
        chain=name_of(head.site_id, head.case_id),
        length=head.length,
        last=head.hash,
    )


def _events(site: Site | None) -> Iterator[AuditEvent]:
    events = AuditEvent.objects.filter(site=site) if site else AuditEvent.objects.all()
    ordered = events.order_by("site_id", "case_id", "position", "pk")
    return ordered.iterator(chunk_size=2000)


def _heads(site: Site | None) -> Iterator[ChainHead]:
    heads = ChainHead.objects.filter(site=site) if site else ChainHead.objects.all()
    return heads.iterator(chunk_size=2000)


def _unchained(site: Site | None) -> list[Key]:
    """Sites and cases whose chain is gone as a whole, head and all."""
    sites, cases = Site.objects.all(), Case.objects.filter(chain=None)
    if site:
        sites, cases = sites.filter(pk=site.pk), cases.filter(site=site)
    begun = ChainHead.objects.filter(case=None).values("site_id")
    lost: list[Key] = [
        (pk, None) for pk in sites.exclude(pk__in=begun).values_list("pk", flat=True)
    ]
    return lost + list(cases.values_list("site_id", "pk"))


def _words() -> dict[str, str]:
    return {
        "changed": _("A line was changed, or put in another place."),
        "removed": _("A line was removed."),
        "inserted": _("A line was inserted."),
        "truncated": _("Lines at the end were removed."),
        "unsigned": _("The end of the chain was not signed with this server's key."),
        "missing": _("The chain, or what says how long it is, was removed."),
        "rewritten": _("The history is not what the export says it was."),
        "unguarded": _("The database does not guard this table any more."),
    }
