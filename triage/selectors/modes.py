"""How a threshold can be chosen, and which way cannot be had yet."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from triage.choices import PolicyMode
from triage.models import Decision, Site
from triage.selectors.evidence import LABELLED
from triage.selectors.policy_state import calibration_in_force
from triage.selectors.promises import DEFAULT_DELTA, least_labels, next_look

USUAL_RISK = 0.10
# Own labels before costs may differ by the pair of labels: else a few cases would decide.
FEWEST_FOR_PAIRS = 30


@dataclass(frozen=True)
class ModeRow:
    """A way to choose a threshold: what it does in a sentence, and why it cannot be had, or ""."""

    mode: PolicyMode
    title: str
    sentence: str
    why_not: str


def mode_rows(site: Site) -> list[ModeRow]:
    """All ways to choose, with what is missing for each at a site."""
    nothing = ""
    if calibration_in_force(site, site.domain) is None:
        nothing = _("There is no calibration here yet: every case is deferred.")
    return [
        _row(
            PolicyMode.GUARANTEED,
            _(
                "At most the share you name is wrong among the accepted, with {sure:.0%} "
                "confidence, as long as tomorrow resembles the labelled cases."
            ).format(sure=1 - DEFAULT_DELTA),
            nothing or _missing_for_a_promise(site),
        ),
        _row(
            PolicyMode.COST,
            _("The threshold where errors and reviews cost least together; it promises no rate."),
            nothing,
        ),
        _row(
            PolicyMode.PERCENTILE,
            _("Defers about the share that your people can review; it promises no rate."),
            nothing,
        ),
    ]


def own_labels(site: Site) -> int:
    """Cases that people have answered, of the ensemble of the calibration in force."""
    calibration = calibration_in_force(site, site.domain)
    if calibration is None:
        return 0
    rows = Decision.objects.filter(
        case__site=site, case__domain=site.domain, run__ensemble=calibration.ensemble
    )
    return rows.filter(LABELLED).count()


def _row(mode: PolicyMode, sentence: str, why_not: str) -> ModeRow:
    title = str(mode.label)
    return ModeRow(mode, title[:1].upper() + title[1:], sentence, why_not)


def _missing_for_a_promise(site: Site) -> str:
    """By the least that any promise of USUAL_RISK takes; a refusal estimates it more closely."""
    least, labels = least_labels(USUAL_RISK, next_look(site, site.domain)), own_labels(site)
    if labels >= least:
        return ""
    said = ngettext(
        "Not yet: for {risk:.0%} it needs at least {n} more label of this site's own, "
        "and more if any is wrong.",
        "Not yet: for {risk:.0%} it needs at least {n} more labels of this site's own, "
        "and more if any is wrong.",
        least - labels,
    )
    return said.format(risk=USUAL_RISK, n=least - labels)
