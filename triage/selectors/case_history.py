"""What happened to a case, as its page tells it."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _

from triage.choices import GlassReason, Outcome
from triage.models import AuditEvent, Case
from triage.selectors.gold import WAS_GOLD
from triage.selectors.looks import SEEN

HOW_IT_CAME = ("opened", "decided")
# What only readers do: in a dispute their names are not told.
OF_READERS = {"read", "read otherwise", "took back", "passed on", "skipped"}


@dataclass(frozen=True)
class HistoryLine:
    when: datetime
    who: str
    what: str
    detail: str


def history(
    case: Case, blind: bool, titles: dict[str, str], unnamed: AbstractBaseUser | None
) -> list[HistoryLine]:
    """What happened, oldest first; with `unnamed`, who read it is told to nobody but themselves."""
    # Looks are written down, but a history of them would bury the rest.
    events = list(case.events.select_related("actor").exclude(verb__in=SEEN))
    if case.repeats:
        events = _as_if_new(case, case.repeats, events)
    return [
        HistoryLine(
            when=event.created_at,
            who=_who(event, unnamed),
            what=_(event.verb),
            detail=_detail(event, titles, blind),
        )
        for event in events
        if not (blind and event.verb == "decided")
    ]


def _as_if_new(case: Case, repeats: Case, events: list[AuditEvent]) -> list[AuditEvent]:
    """The history of a gold case as that of any other: how it came in is told of what it repeats,
    with its own dates."""
    came = repeats.events.select_related("actor").filter(verb__in=HOW_IT_CAME)
    begun = {event.verb: event for event in came.order_by("-pk")}
    for event in begun.values():
        event.created_at = case.created_at
    first = [begun[verb] for verb in HOW_IT_CAME if verb in begun]
    return first + [one for one in events if one.verb not in (*HOW_IT_CAME, WAS_GOLD)]


def _who(event: AuditEvent, unnamed: AbstractBaseUser | None) -> str:
    if event.actor is None:
        return _("the system")
    if unnamed and event.verb in OF_READERS and event.actor_id != unnamed.pk:
        return _("a reader")
    return event.actor.get_username()


def _detail(event: AuditEvent, titles: dict[str, str], blind: bool) -> str:
    details = event.details
    if event.verb == "broke the glass":
        return str(GlassReason(details["reason"]).label)
    if blind:
        return ""
    if event.verb == "decided":
        version = details.get("policy")
        by = _("policy version {0}").format(version) if version else _("no policy in force")
        return f"{Outcome(details['outcome']).label}, {by}"
    label = str(details.get("label", ""))
    return titles.get(label, label) or _source(str(details.get("source", "")))


def _source(source: str) -> str:
    return {
        "page": _("by hand"),
        "api": _("by a device or program"),
        "sample": _("as a drawn sample"),
    }.get(source, "")
