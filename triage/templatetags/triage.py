"""What the templates need beyond Django's own: icons, states, gauges, numbers as people read them.

It is a builtin library of the template engine: no template loads it.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Protocol

from django.contrib.messages.storage.base import Message
from django.template import Context, Library
from django.templatetags.static import static
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext, gettext_lazy

from inference.pipeline.stages import Stage
from triage.choices import CaseStatus
from triage.permissions import allows
from triage.selectors.queue import COUNTED
from triage.selectors.teams import cases_for

register = Library()


@register.simple_tag(takes_context=True)
def may_open(context: Context, case_id: str) -> bool:
    """Whether the reader may follow the number of a case to the case itself."""
    site = context.get("member_site")
    if site is None or not allows(context["member_roles"], "see_cases"):
        return False
    return not site.by_team or cases_for(site, context["user"]).filter(pk=case_id).exists()


STAGES = tuple(Stage)

UNKNOWN = "–"
LEVEL_TITLES = {
    "low": gettext_lazy("low"),
    "medium": gettext_lazy("medium"),
    "high": gettext_lazy("high"),
}
# Green is kept for what a person has answered; an accepted case is only the ensemble's word.
STATE_LOOKS: dict[str, tuple[str, str]] = {
    CaseStatus.OPEN: ("looking", "quiet"),
    CaseStatus.ACCEPTED: ("check", "quiet"),
    CaseStatus.AUDIT: ("audit", "warning"),
    CaseStatus.DEFERRED: ("clock", "warning"),
    CaseStatus.IN_REVIEW: ("person", "quiet"),
    CaseStatus.DISPUTED: ("flip", "warning"),
    CaseStatus.RETAKE: ("camera", "quiet"),
    CaseStatus.RESOLVED: ("done", "good"),
    "queued": ("waiting", "quiet"),
    "running": ("looking", "active"),
    "done": ("check", "quiet"),
    "failed": ("failed", "alert"),
    "active": ("policy", "good"),
    "draft": ("pencil", "quiet"),
    "shadow": ("looking", "quiet"),
    "canary": ("beside", "warning"),
    "retired": ("clock", "quiet"),
    "dropped": ("failed", "quiet"),
    "shipped": ("done", "quiet"),
    "learning": ("looking", "warning"),
    "trusted": ("check", "quiet"),
}


class HypothesisLike(Protocol):
    @property
    def label(self) -> str: ...


class TraceLike(Protocol):
    @property
    def valid(self) -> bool: ...


class MemberLike(Protocol):
    @property
    def status(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def traces(self) -> Sequence[TraceLike | None]: ...


@register.simple_tag
@cache
def icon(name: str) -> SafeString:
    """A drawing from static/icons.svg; it is hidden from readers, so a word must stand by it."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        static("icons.svg"),
        name,
    )


@register.simple_tag
def state(value: str, title: object) -> SafeString:
    """A status as icon and word; the colour is the third sign, never the only one."""
    name, tone = STATE_LOOKS.get(value, ("dot", "quiet"))
    return format_html('<span class="state {}">{}{}</span>', tone, icon(name), title)


@register.simple_tag
def share_bar(share: float | None) -> SafeString:
    """A share (0 to 1) as a bar; the number stands beside it in the text."""
    width = 100 * min(max(share or 0.0, 0.0), 1.0)
    return format_html(
        '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" width="100" height="4"/><rect width="{}" height="4"/></svg>',
        f"{width:.1f}",
    )


@register.simple_tag
def interval(low: float, high: float, at: float) -> SafeString:
    """An estimate within its interval (all 0 to 1); the numbers stand beside it in the text."""
    return format_html(
        '<svg class="interval" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false"><rect class="whole" y="3" width="100" height="2"/>'
        '<rect x="{}" y="2" width="{}" height="4"/>'
        '<rect class="point" x="{}" width="0.75" height="8"/></svg>',
        hundredths(low),
        hundredths(high - low),
        hundredths(at),
    )


@register.simple_tag
def moment(when: datetime | None, form: str = "j M, H:i") -> SafeString:
    """A time; the browser puts it into its own time zone (app.js)."""
    if when is None:
        return SafeString(UNKNOWN)
    return format_html(
        '<time datetime="{}" data-form="{}">{}</time>',
        when.isoformat(),
        form,
        date_format(localtime(when), form),
    )


@register.filter
def percent(share: float | None, digits: int = 0) -> str:
    """0.674 -> "67 %" with a thin space that does not break; "–" for what is not known."""
    return _number(share, digits, scale=100, unit="\u202f%")


@register.filter
def points(share: float | None) -> str:
    """A difference of shares in points, with its sign: 0.023 -> "+2.3", 0 -> "0"."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    rounded = round(100 * share, 1)
    return f"{rounded:+.1f}".replace("-", "\u2212") if rounded else "0"


@register.filter
def number(value: float | None, digits: int = 2) -> str:
    """A score with so many digits; "–" for what is not known."""
    return _number(value, digits)


@register.filter
def seconds(value: float | None) -> str:
    """A duration in seconds: "0.8 s"."""
    return _number(value, 1, unit="\u202fs")


@register.filter
def lasting(hours: float | None) -> str:
    """A time in hours as people say it: "40 min", "5.3 h", "3 days"."""
    if hours is None:
        return UNKNOWN
    if hours < 1:
        return gettext("{n} min").format(n=round(60 * hours))
    if hours < 48:
        return gettext("{n} h").format(n=f"{hours:.1f}")
    return gettext("{n} days").format(n=round(hours / 24))


def _number(value: float | None, digits: int, *, scale: float = 1, unit: str = "") -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return UNKNOWN
    return f"{value * scale:.{digits}f}{unit}"


@register.filter
def level_title(level: str) -> str:
    """The word for a level of uncertainty."""
    return str(LEVEL_TITLES.get(level, gettext("unknown")))


@register.filter
def other_labels(
    labels: Sequence[tuple[str, str, int | None]], hypotheses: Iterable[HypothesisLike]
) -> list[tuple[str, str, int | None]]:
    """The labels (id, title, key) that no member holds."""
    held = {hypothesis.label for hypothesis in hypotheses}
    return [label for label in labels if label[0] not in held]


@register.simple_tag
def cell_state(member: MemberLike, index: int) -> str:
    """Where a member stands with its stage of that index: queued, running, done or failed."""
    trace = member.traces[index]
    if trace is not None:
        return "done" if trace.valid else "failed"
    if member.status in ("failed", "done"):
        return "failed"
    going_on = member.status == "running" and member.stage == STAGES[index]
    return "running" if going_on else "queued"


@register.filter
def spoken(word: str) -> str:
    """A word of a domain's file, or the name of a role, in the reader's language."""
    return gettext(word) if word else ""


@register.filter
def at_most(count: int) -> str:
    """A count as the head of a page has room for it: "999+" from a thousand on."""
    return str(count) if count < COUNTED else f"{COUNTED - 1}+"


@register.filter
def hundredfold(share: float) -> str:
    """A share as the percentage that a number field takes: 0.125 -> "12.5"."""
    return f"{100 * share:g}"


@register.filter
def hundredths(share: float | None) -> str:
    """A share as a length in a drawing 100 wide."""
    return f"{100 * (share or 0.0):.2f}"


@register.filter
def minus(left: float, right: float) -> float:
    """The difference of two numbers."""
    return left - right


@register.filter
def title_in(label: str, labels: Sequence[tuple[str, str, int | None]]) -> str:
    """A label's title, from (id, title, key) triples."""
    return next((title for name, title, _key in labels if name == label), label)


@register.filter
def case_of(message: Message) -> str:
    """The id of the case that a message is about (its tag "case:<id>"), "" if it is about none.

    With "undo:<id>" the message is about an answer to it that can be taken back.
    """
    what, _, case_id = (message.extra_tags or "").partition(":")
    return case_id if what in ("case", "undo") else ""


@register.filter
def can_undo(message: Message) -> bool:
    """Whether a message is about an answer that can be taken back."""
    return (message.extra_tags or "").startswith("undo:")


@register.filter
def shortly(value: float) -> str:
    """A number for a field that people change: with a point, and no more digits than it needs."""
    return f"{value:.4g}"


@register.filter
def exactly(value: float) -> str:
    """A number as it is sent back: with a point and all its digits, in every language."""
    return repr(float(value))
