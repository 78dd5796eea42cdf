"""Which sites and cameras are still new, and what people's answers show of them so far."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache, reduce
from operator import or_

from django.db.models import Count, F, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference.ensemble import current_signature
from inference.uq.thresholds import clopper_pearson_upper
from triage.choices import CaseStatus
from triage.models import Case, Decision, DeviceToken, Learning, Site
from triage.selectors.evidence import LABELLED, gather
from triage.selectors.policy_state import active_policy
from triage.selectors.rules import rule_of
from triage.selectors.words import domain_at

# When a source has earned its trust. Thirty answers see a camera by day and by night; of twenty
# cases that would have been accepted one may be wrong (the bound is 18 % then, with two 24 %). It
# is a gate against a camera on which the ensemble fails, no promise: that is the policy's, and
# audits go on measuring.
FEWEST_CHECKED = 30
FEWEST_ACCEPTABLE = 20
MOST_WRONG = 0.20
CONFIDENCE = 0.90
# Answers beyond the newest so many no longer count: a camera that was mended may recover.
NEWEST = 200


@lru_cache(maxsize=256)
def acceptable_needed(wrong: int) -> int:
    """With so many wrong: of how many cases that would be accepted the bound is low enough."""
    n = max(FEWEST_ACCEPTABLE, wrong)
    while clopper_pearson_upper(wrong, n, 1 - CONFIDENCE) > MOST_WRONG:
        n += 1
    return n


@dataclass(frozen=True)
class Source:
    """Where cases come from: one camera of a site, or (camera None) the people there."""

    site: Site
    domain: str
    camera: DeviceToken | None = None

    @property
    def key(self) -> int | None:
        """The camera's primary key: what tells the sources of one site apart."""
        return self.camera.pk if self.camera else None


@dataclass(frozen=True)
class Standing:
    """What experts' answers show of a source since its learning began, as counts of cases.

    `checked` were answered, of which the ensemble was `right` on so many; of the checked the policy
    in force would have accepted `acceptable`, and `wrong` of these with a wrong label.
    """

    checked: int = 0
    right: int = 0
    acceptable: int = 0
    wrong: int = 0

    @property
    def most_wrong(self) -> float:
        """Upper bound of the error rate among what would be accepted: exact, 90 % confidence."""
        if not self.acceptable:
            return 1.0
        return clopper_pearson_upper(self.wrong, self.acceptable, 1 - CONFIDENCE)

    @property
    def enough(self) -> bool:
        return self.checked >= FEWEST_CHECKED and self.acceptable >= FEWEST_ACCEPTABLE

    @property
    def earned(self) -> bool:
        """Whether the answers show that the ensemble may be trusted here."""
        return self.enough and self.most_wrong <= MOST_WRONG

    @property
    def missing(self) -> int:
        """How many more right answers it takes at best; 0 once it is earned.

        What would be accepted is looked at once enough was checked: until then only that counts.
        """
        if self.checked < FEWEST_CHECKED:
            return FEWEST_CHECKED - self.checked
        return max(0, acceptable_needed(self.wrong) - self.acceptable)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """How far a learning source is: answers there are, and at least missing; `words` say it."""

    checked: int
    missing: int
    words: str

    @property
    def needed(self) -> int:
        """Answers in all, >= 1."""
        return self.checked + self.missing


@dataclass(frozen=True)
class SourceRow:
    """A source on the policies page. `camera` is its primary key, None for the site itself.

    `progress` is None once it is trusted.
    """

    camera: int | None
    name: str
    learning: bool
    since: datetime | None
    sentence: str
    progress: Progress | None = None


def source_of(case: Case) -> Source:
    return Source(case.site, case.domain, case.camera)


def current(source: Source) -> Learning | None:
    """The newest time of learning of a source."""
    rows = Learning.objects.filter(
        site=source.site, domain=source.domain, camera=source.camera
    ).select_related("ended_by")
    return rows.order_by("-pk").first()


def is_learning(source: Source) -> bool:
    """Trusted is only who has learned: without any row a source is new."""
    return _learns(current(source))


def _learns(row: Learning | None) -> bool:
    return row is None or row.ended_at is None


def standing(source: Source, since: datetime | None) -> Standing:
    """What the newest 200 answers with the present ensemble show of a source, from `since` on."""
    evidence = gather(
        site=source.site,
        domain=source.domain,
        ensemble=current_signature(domain_at(source.site, source.domain)),
        newest=NEWEST,
        only=_answered(source, since),
    )
    if evidence is None:
        return Standing()
    wrong = evidence.labelled & (evidence.wrong > 0)
    checked = int(evidence.labelled.sum())
    rule = rule_of(active_policy(source.site, source.domain), evidence)
    if rule is None:
        return Standing(checked, checked - int(wrong.sum()))
    applied = rule.apply(evidence)
    acceptable = applied.accepted & evidence.labelled
    wrong = evidence.labelled & (evidence.wrong_of(applied.labels) > 0)
    return Standing(
        checked=checked,
        right=checked - int(wrong.sum()),
        acceptable=int(acceptable.sum()),
        wrong=int((acceptable & wrong).sum()),
    )


def _answered(source: Source, since: datetime | None) -> Q:
    only = Q(case__camera=source.key, case__status=CaseStatus.RESOLVED)
    return only & Q(case__created_at__gte=since) if since else only


def sources_of(site: Site) -> list[Source]:
    """The site itself, then its cameras that may still send."""
    cameras = site.tokens.filter(revoked_at=None).order_by("pk")
    return [Source(site, site.domain, camera) for camera in (None, *cameras)]


def promising(site: Site) -> list[Source]:
    """The sources that are learning and of which enough was checked to look closer."""
    rows = _newest_rows(site)
    learning = [source for source in sources_of(site) if _learns(rows.get(source.key))]
    counted = _counted(learning, rows)
    return [one for one in learning if counted[one.key].checked >= FEWEST_CHECKED]


def source_rows(site: Site) -> list[SourceRow]:
    """Every source of a site, and in a sentence where it stands."""
    rows, sources = _newest_rows(site), sources_of(site)
    counted = _counted([one for one in sources if _learns(rows.get(one.key))], rows)
    return [_row(source, rows.get(source.key), counted) for source in sources]


def _newest_rows(site: Site) -> dict[int | None, Learning]:
    """The newest time of learning of each source, by its key."""
    rows = Learning.objects.filter(site=site, domain=site.domain).select_related("ended_by")
    return {row.camera_id: row for row in rows.order_by("pk")}


def _counted(
    sources: list[Source], rows: Mapping[int | None, Learning]
) -> dict[int | None, Standing]:
    """What was checked of each source and was right, without a look at what would be accepted.

    One query, however many sources there are: a full `standing` reads all their traces.
    """
    if not sources:
        return {}
    began = [(one, rows[one.key].started_at if one.key in rows else None) for one in sources]
    found = (
        Decision.objects.filter(LABELLED, reduce(or_, (_answered(*one) for one in began)))
        .filter(case__site=sources[0].site, case__domain=sources[0].domain)
        .filter(run__ensemble=current_signature(domain_at(sources[0].site, sources[0].domain)))
        .values("case__camera")
        .annotate(checked=Count("pk"), right=Count("pk", filter=Q(label=F("case__label"))))
        .order_by()
    )
    counts: dict[int | None, Standing] = {}
    counts |= {one["case__camera"]: Standing(one["checked"], one["right"]) for one in found}
    return {one.key: counts.get(one.key, Standing()) for one in sources}


def _row(source: Source, row: Learning | None, counted: Mapping[int | None, Standing]) -> SourceRow:
    learning = _learns(row)
    since = (row.started_at if learning else row.ended_at) if row else None
    found = _found(source, since, counted[source.key]) if learning else None
    return SourceRow(
        camera=source.key,
        name=source.camera.name if source.camera else _("What people send"),
        learning=learning,
        since=since,
        sentence=in_a_sentence(found) if found else _why_trusted(row),
        progress=Progress(found.checked, found.missing, _still(found)) if found else None,
    )


def _found(source: Source, since: datetime | None, counted: Standing) -> Standing:
    """What is known of a learning source; looked at closer only where that may show something."""
    return standing(source, since) if counted.checked >= FEWEST_CHECKED else counted


def _still(found: Standing) -> str:
    """What it takes until the policy may accept here; "" where nothing is missing."""
    if found.checked < FEWEST_CHECKED:
        return ngettext(
            "At least {n} more answer until the policy may accept here.",
            "At least {n} more answers until the policy may accept here.",
            found.missing,
        ).format(n=found.missing)
    if not found.missing:
        return ""
    return ngettext(
        "About {n} more right answer, on a case that it would have accepted, until it may.",
        "About {n} more right answers, on cases that it would have accepted, until it may.",
        found.missing,
    ).format(n=found.missing)


def _why_trusted(row: Learning | None) -> str:
    """Of a row that has ended: by whom, by what, or that it never began."""
    if row and row.ended_by:
        return _("Learning was ended by {name}.").format(name=row.ended_by.get_username())
    if row and row.evidence:
        return _("It has earned it: {checked} cases checked, {right} right.").format(**row.evidence)
    return _("It was trusted from the start.")


def in_a_sentence(found: Standing) -> str:
    """How far the learning is, and what is missing."""
    if found.checked < FEWEST_CHECKED:
        return _("{checked} of at least {fewest} checked, {right} right.").format(
            checked=found.checked, fewest=FEWEST_CHECKED, right=found.right
        )
    so_far = _("{checked} checked, {right} right.").format(checked=found.checked, right=found.right)
    if found.acceptable < FEWEST_ACCEPTABLE:
        return so_far + _(
            " The policy in force would have accepted {n} of them; at least {fewest} are needed."
        ).format(n=found.acceptable, fewest=FEWEST_ACCEPTABLE)
    if found.earned:
        return so_far + _(" That is enough: learning ends with the next answer.")
    return so_far + _(
        " But {wrong} of the {n} that it would have accepted were wrong: up to {bound:.0%} may be, "
        "and {limit:.0%} is the limit. It goes on learning."
    ).format(wrong=found.wrong, n=found.acceptable, bound=found.most_wrong, limit=MOST_WRONG)
