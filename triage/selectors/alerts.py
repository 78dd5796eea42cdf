"""When something is no longer going well, and when it is again: never both at one limit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from triage.choices import AlertKind, Outcome, PolicyMode, SiteKind
from triage.models import Alert, Decision, Policy, Site
from triage.reasons import CONSENT, LEARNING, kinds
from triage.selectors.asking import Home, unanswered
from triage.selectors.checkup import Found
from triage.selectors.consents import days_left
from triage.selectors.experts import worst_reader
from triage.selectors.guard import audits_of
from triage.selectors.policy_state import active_policy
from triage.selectors.service_levels import oldest_deferred
from triage.selectors.teams import lost_cases
from triage.selectors.weeks import FEWEST_AUDITS

CLEARS = 0.75
FEWEST_OVERRIDES = 30
FEWEST_DECISIONS, NEWEST_DECISIONS = 50, 200
NEWEST = 20
CONSENT_DAYS = 14
# Drift is measured as -log10 of its p-value: raised below 0.01, cleared above 0.05.
DRIFT_RAISES, DRIFT_CLEARS = 2.0, -math.log10(0.05)


@dataclass(frozen=True)
class Measured:
    """One value with its limits: raised above `limit`, cleared at or below the lower `clears`.

    `value` is None where too little is known: then nothing is raised, and nothing cleared. Where it
    does not apply, because nothing is accepted or nothing was foreseen, what stood is over.
    `about`: where it is about one version, that in force, and None where there is none.
    """

    kind: AlertKind
    value: float | None
    limit: float
    clears: float
    applies: bool = True
    about: Policy | None = None

    def stands(self, stood: bool) -> bool:
        """Whether the alert stands now, if it `stood` before."""
        if not self.applies:
            return False
        if self.value is None:
            return stood
        return self.value > (self.clears if stood else self.limit)

    def ends(self, alert: Alert) -> bool:
        """Whether the version that an alert is about is no longer the one in force."""
        return alert.policy_id is not None and alert.policy_id != getattr(self.about, "pk", None)


@dataclass(frozen=True)
class AlertRow:
    """An alert, in a sentence what was found when it was raised, and "" or how else it ended than
    by getting better."""

    alert: Alert
    title: str
    sentence: str
    ended: str


def measure(site: Site, found: Found) -> list[Measured]:
    """All that a site is watched for, as it was at the look that `found` is of."""
    policy = active_policy(site, site.domain)
    return [*_of_the_version(policy, found), *_of_the_site(site, found)]


def _of_the_version(policy: Policy | None, found: Found) -> list[Measured]:
    """What is watched of the version in force; nothing of it applies where all is deferred."""
    accepts = policy is not None and policy.mode != PolicyMode.DEFER_ALL
    limits = {
        AlertKind.ERROR: (_least_wrong(policy), _target(policy)),
        AlertKind.DEFERRAL: (deferral_off(policy), settings.ALARM_ALERT_DEFERRAL),
    }
    applies = {AlertKind.ERROR: accepts, AlertKind.DEFERRAL: _foreseen(policy) is not None}
    measured = [
        Measured(kind, value, limit, CLEARS * limit, applies[kind], policy)
        for kind, (value, limit) in limits.items()
    ]
    compared = accepts and policy is not None and policy.calibration_id is not None
    drift = _drift(found.drift.p_value)
    return [
        *measured,
        Measured(AlertKind.DRIFT, drift, DRIFT_RAISES, DRIFT_CLEARS, compared, policy),
    ]


def _of_the_site(site: Site, found: Found) -> list[Measured]:
    """What is watched whichever version is in force."""
    recent = found.over_time.recent
    override = recent.override if recent.answered >= FEWEST_OVERRIDES else None
    limits = [
        (AlertKind.WAIT, oldest_deferred(site, found.as_of) or 0.0, settings.ALARM_ALERT_HOURS),
        (AlertKind.OVERRIDE, override, settings.ALARM_ALERT_OVERRIDE),
        (AlertKind.READER, worst_reader(site), settings.ALARM_ALERT_READER),
        (AlertKind.TEAM, float(lost_cases(site).count()), 0.0),
        (AlertKind.UNANSWERED, _unanswered(site, found), 0.0),
    ]
    measured = [Measured(kind, value, limit, CLEARS * limit) for kind, value, limit in limits]
    return [*measured, _consent(site, found)]


def untold(site: Site, found: Found) -> list[str]:
    """Names of what is watched but cannot be told yet: too little is known."""
    unknown = [one for one in measure(site, found) if one.applies and one.value is None]
    return [str(AlertKind(one.kind).label) for one in unknown]


def deferral_off(policy: Policy | None) -> float | None:
    """How far the share that a policy defers lies from what was foreseen, 0 to 1.

    Over its newest 200 decisions but for cameras that were learning; None below 50, or where
    nothing was foreseen.
    """
    foreseen = _foreseen(policy)
    if policy is None or foreseen is None:
        return None
    rows = Decision.objects.filter(policy=policy).order_by("-pk").values_list("outcome", "reasons")
    told = [out for out, why in rows[:NEWEST_DECISIONS] if not kinds(why) & (LEARNING | CONSENT)]
    if len(told) < FEWEST_DECISIONS:
        return None
    return abs(sum(out == Outcome.DEFER for out in told) / len(told) - foreseen)


def open_alerts(site: Site) -> list[AlertRow]:
    return rows_of(Alert.objects.filter(site=site, ended_at=None))


def open_count(site: Site) -> int:
    return Alert.objects.filter(site=site, ended_at=None).count()


def past_alerts(site: Site) -> list[AlertRow]:
    """The newest that are over."""
    over = Alert.objects.filter(site=site, ended_at__isnull=False).select_related("policy")
    return rows_of(over[:NEWEST])


def rows_of(alerts: Iterable[Alert]) -> list[AlertRow]:
    return [AlertRow(one, title_of(one), sentence_of(one), ended_of(one)) for one in alerts]


def ended_of(alert: Alert) -> str:
    """In words: that it ended with the version that it was about; "" otherwise."""
    if not alert.with_policy or alert.policy is None:
        return ""
    return _("It ended with policy {version}.").format(version=alert.policy.version)


def title_of(alert: Alert) -> str:
    titles = {
        AlertKind.ERROR: _("Too many accepted cases are wrong"),
        AlertKind.WAIT: _("A deferred case has waited too long"),
        AlertKind.DEFERRAL: _("Another share is deferred than foreseen"),
        AlertKind.DRIFT: _("Recent cases are unlike those of the calibration"),
        AlertKind.OVERRIDE: _("People override most of what is deferred"),
        AlertKind.READER: _("Somebody's answers are often not what the case turned out to be"),
        AlertKind.CONSENT: _("The household's consent comes to its end"),
        AlertKind.TEAM: _("Nobody of a care team can take a case that waits"),
        AlertKind.UNANSWERED: _("Nobody at home answers about something critical"),
    }
    return titles[AlertKind(alert.kind)]


def sentence_of(alert: Alert) -> str:
    """What was found when it was raised, and what can be done about it."""
    sentences = {
        AlertKind.ERROR: _(
            "At least {value:.0%} of the accepted cases are wrong, {limit:.0%} is the limit. "
            "Defer everything or roll back, then look at the errors that audits found."
        ),
        AlertKind.WAIT: _(
            "The oldest one had waited {value:.0f} hours, {limit:.0f} are the limit. "
            "More people, or fewer deferrals."
        ),
        AlertKind.DEFERRAL: _(
            "The share deferred is {value:.0%} of all cases away from what the policy's replay "
            "said, {limit:.0%} is the limit. Refit, or look for what changed."
        ),
        AlertKind.DRIFT: _(
            "What was promised on the old cases does not hold. Defer everything, or refit."
        ),
        AlertKind.OVERRIDE: _(
            "Of the deferred cases people gave {value:.0%} another label, {limit:.0%} is the "
            "limit. Refit, or train the ensemble on these cases."
        ),
        AlertKind.READER: _(
            "Of what one person read and others settled, or of one label of it, at least "
            "{value:.0%} was answered otherwise, {limit:.0%} is the limit. See “Whose answers "
            "it learns from”, and publish nothing that was learned meanwhile."
        ),
        AlertKind.CONSENT: _(
            "By it the caregivers see pictures. Once it has ended they see none, and what comes in "
            "waits for the site's staff: have it renewed, or withdrawn."
        ),
        AlertKind.TEAM: _(
            "Of whole teams nobody reads here any more, or everybody has: waiting cases, "
            "{value:.0f} of them, are seen by nobody. Add somebody under “Care teams”."
        ),
        AlertKind.UNANSWERED: _(
            "Everybody was asked, and has passed it on or was silent; {value:.0f} such events "
            "wait. All were called once more. Reach somebody of the household by another way."
        ),
    }
    return sentences[AlertKind(alert.kind)].format(value=alert.value, limit=alert.limit)


def _unanswered(site: Site, found: Found) -> float:
    at_home = site.kind == SiteKind.HOUSEHOLD
    return float(len(unanswered(Home(site, found.as_of)))) if at_home else 0.0


def _consent(site: Site, found: Found) -> Measured:
    """In days after its end, before it below 0: raised CONSENT_DAYS ahead, cleared by a renewal."""
    left = days_left(site, found.as_of)
    value = -math.inf if left is None else -left
    return Measured(AlertKind.CONSENT, value, -CONSENT_DAYS, -CONSENT_DAYS)


def _least_wrong(policy: Policy | None) -> float | None:
    """So many of what a version accepts are wrong at least, at every look; None below 20 audits."""
    audits = audits_of(policy) if policy else None
    return audits.low if audits and audits.n >= FEWEST_AUDITS else None


def _target(policy: Policy | None) -> float:
    """What the policy in force promises, else the installation's limit."""
    if policy and policy.mode == PolicyMode.GUARANTEED:
        return float(policy.choice.get("value") or settings.ALARM_ALERT_ERROR)
    return float(settings.ALARM_ALERT_ERROR)


def _foreseen(policy: Policy | None) -> float | None:
    """By the policy's replay, learning cameras left out; else the share it was made to defer."""
    if policy is None or policy.mode == PolicyMode.DEFER_ALL:
        return None
    n, learning = policy.replay.get("n", 0), policy.replay.get("learning", 0)
    if n > learning:
        return float((policy.replay["proposed"]["deferral"] * n - learning) / (n - learning))
    share = policy.choice.get("value") if policy.mode == PolicyMode.PERCENTILE else None
    return None if share is None else float(share)


def _drift(p_value: float | None) -> float | None:
    return None if p_value is None else -math.log10(max(p_value, 1e-300))
