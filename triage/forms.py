"""What people type, checked before it reaches a service."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any, Self

import numpy as np
from django import forms
from django.utils.translation import gettext_lazy as _

from inference.pipeline.domains import Domain
from inference.uq.costs import Costs
from triage.choices import PolicyMode, RetakeReason, Role, SiteKind
from triage.errors import Refused
from triage.models import Case, Membership, Site, Subject
from triage.selectors.audit_log import Filters
from triage.selectors.costs import SHORTEST_MINUTES, cell_name
from triage.selectors.what_if import SCORES
from triage.selectors.words import as_shipped
from triage.services.erasing import LONGEST_DAYS, MAX_REASON, find_case, find_target
from triage.services.intake import MAX_PSEUDONYM
from triage.services.reviews import MAX_COMMENT
from triage.services.sites import MAX_NAME
from triage.services.trials import FEWEST, MOST, USUAL


class ReviewForm(forms.Form):
    """An answer to a case that this person holds."""

    label = forms.ChoiceField(label=_("Label"))
    comment = forms.CharField(label=_("Comment"), required=False, max_length=MAX_COMMENT)
    version = forms.IntegerField(min_value=1)
    token = forms.UUIDField()

    def __init__(self, *args: object, domain: Domain, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        choices = [(label, label) for label in domain.label_ids]
        self.fields["label"].choices = choices  # type: ignore[attr-defined]


class RetakeForm(forms.Form):
    """A photo that cannot be judged."""

    reason = forms.ChoiceField(choices=RetakeReason.choices)
    comment = forms.CharField(required=False, max_length=MAX_COMMENT)
    version = forms.IntegerField(min_value=1)
    token = forms.UUIDField()


class QuietHoursForm(forms.Form):
    """From when until when only critical cases are asked about; neither ends that."""

    begin = forms.TimeField(required=False)
    end = forms.TimeField(required=False)


class ReadingsForm(forms.Form):
    """How many of the cases to come are read blind, and how many by two people."""

    blind = forms.FloatField(min_value=0, max_value=100)
    double = forms.FloatField(min_value=0, max_value=100)


class WhatIfForm(forms.Form):
    """Where the dial of the what-if stands, and who would review."""

    method = forms.ChoiceField(label=_("On the score"), required=False)
    at = forms.FloatField(label=_("Deferred, percent"), min_value=0, max_value=100, required=False)
    people = forms.IntegerField(
        label=_("Reviewers at once"), min_value=1, max_value=500, required=False
    )
    hours = forms.FloatField(label=_("Hours a day"), min_value=0.5, max_value=24, required=False)
    as_of = forms.DateTimeField(required=False)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["method"].choices = [("", ""), *SCORES.items()]  # type: ignore[attr-defined]

    def question(self) -> dict[str, Any]:
        """What selectors.what_if takes; a field that cannot be read is as if it were left out."""
        self.is_valid()
        said = {name: self.cleaned_data.get(name) for name in self.fields}
        share = said.pop("at")
        return said | {
            "method": said["method"] or "",
            "at": None if share is None else share / 100,
        }


class PublishForm(forms.Form):
    """For which percentage of the cases a draft is published; empty for all of them."""

    share = forms.FloatField(min_value=1, max_value=99, required=False)


class ThresholdForm(forms.Form):
    """A threshold that somebody has found on the dial, and the calibration it was found on."""

    method = forms.ChoiceField(choices=list(SCORES.items()))
    threshold = forms.FloatField()
    calibration = forms.IntegerField()


class CostsForm(forms.Form):
    """What errors cost a pair of labels, what a review costs, and how often reviewers err.

    A review costs either `review` percent of an ordinary error, or its minutes at an hourly rate
    against what such an error costs in the same money.
    """

    method = forms.ChoiceField(
        choices=list(SCORES.items()),
        widget=forms.Select(attrs={"aria-labelledby": "score-title"}),
    )
    review = forms.FloatField(min_value=0.1, max_value=1000, required=False)
    minutes = forms.FloatField(min_value=SHORTEST_MINUTES, max_value=600, required=False)
    hourly = forms.FloatField(min_value=0.01, max_value=1e6, required=False)
    error_price = forms.FloatField(min_value=0.01, max_value=1e9, required=False)
    expert_error = forms.FloatField(min_value=0, max_value=90, required=False)

    def __init__(self, *args: Any, labels: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.labels = tuple(labels)
        for row, column in self._pairs():
            self.fields[cell_name(row, column)] = forms.FloatField(min_value=0, max_value=1000)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not said.get("review") and not (said.get("hourly") and said.get("error_price")):
            self.add_error("review", _("Say what a review costs."))
        return said

    def table(self) -> Costs:
        """The costs as typed; 1 where a field cannot be read."""
        said = getattr(self, "cleaned_data", {})
        table = np.zeros((len(self.labels), len(self.labels)))
        for row, column in self._pairs():
            value = said.get(cell_name(row, column))
            table[row, column] = 1.0 if value is None else value
        return Costs(self.labels, table)

    def _pairs(self) -> list[tuple[int, int]]:
        return list(permutations(range(len(self.labels)), 2))


class ProposeForm(forms.Form):
    """A policy that an administrator wants to see replayed."""

    MODES = (
        (PolicyMode.GUARANTEED, _("guaranteed risk: at most this share wrong among the accepted")),
        (PolicyMode.COST, _("expected cost: a review costs this share of an error")),
        (PolicyMode.PERCENTILE, _("workload: defer this share")),
    )

    mode = forms.ChoiceField(label=_("Choose the threshold by"), choices=MODES)
    value = forms.FloatField(
        label=_("Percent"), min_value=0.5, max_value=99, initial=10, help_text=_("0.5 to 99")
    )
    method = forms.ChoiceField(label=_("On the score"), choices=list(SCORES.items()))


class AuditForm(forms.Form):
    """What of the history is wanted; a field that cannot be read is as if it were left out."""

    person = forms.CharField(required=False, max_length=150)
    verb = forms.CharField(required=False, max_length=40)
    case = forms.CharField(required=False, max_length=8)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    seen = forms.BooleanField(required=False)
    form = forms.ChoiceField(choices=[("jsonl", "jsonl"), ("csv", "csv")], required=False)
    after = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    def filters(self) -> Filters:
        self.is_valid()
        said = {name: self.cleaned_data.get(name) for name in Filters.__dataclass_fields__}
        return Filters(**{name: value for name, value in said.items() if value})

    def after_event(self) -> int | None:
        self.is_valid()
        return self.cleaned_data.get("after")

    def as_csv(self) -> bool:
        self.is_valid()
        return self.cleaned_data.get("form") == "csv"


class ReasonForm(forms.Form):
    """Why something is done that cannot be undone, or that others will ask about."""

    reason = forms.CharField(max_length=MAX_REASON)

    @classmethod
    def checked(cls, data: Any) -> Self:
        """The form, if it can be read.

        Raises:
            Refused: a field is missing or too long.
        """
        form = cls(data)
        if not form.is_valid():
            raise Refused(_("Give a reason of at most {0} characters.").format(MAX_REASON), "form")
        return form


class TargetForm(ReasonForm):
    """A case, by its number, or a subject, by its pseudonym."""

    kind = forms.ChoiceField(choices=[("case", "case"), ("subject", "subject")])
    name = forms.CharField(max_length=MAX_PSEUDONYM)

    def target(self, site: Site) -> Case | Subject:
        return find_target(site, self.cleaned_data["kind"], self.cleaned_data["name"])


class KnownForm(forms.Form):
    """A settled case, by its number; whether its label is beyond doubt."""

    number = forms.CharField(max_length=8)
    known = forms.ChoiceField(choices=[("yes", "yes"), ("no", "no")])

    @classmethod
    def checked(cls, data: Any) -> Self:
        """Raises Refused where it is not filled in."""
        form = cls(data)
        if not form.is_valid():
            missing = _("Say which case, by its number, and what is known of it.")
            raise Refused(str(missing), "form")
        return form

    def case(self, site: Site) -> Case:
        return find_case(site, self.cleaned_data["number"])


class RetentionForm(forms.Form):
    """Days by class; an empty one keeps for good."""

    accepted = forms.IntegerField(required=False, min_value=1, max_value=LONGEST_DAYS)
    resolved = forms.IntegerField(required=False, min_value=1, max_value=LONGEST_DAYS)
    unresolved = forms.IntegerField(required=False, min_value=1, max_value=LONGEST_DAYS)


class TrialForm(forms.Form):
    """On how many past cases a version is tried."""

    cases = forms.IntegerField(
        label=_("Past cases"), min_value=FEWEST, max_value=MOST, initial=USUAL
    )


class SiteForm(forms.Form):
    """A new site of the organisation."""

    name = forms.CharField(label=_("Name"), max_length=MAX_NAME)
    domain = forms.ChoiceField(label=_("What is watched for"))
    kind = forms.ChoiceField(label=_("Kind of site"), choices=SiteKind.choices)
    people = forms.MultipleChoiceField(
        label=_("Who comes along, in the same role"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("You will be its administrator yourself."),
    )

    def __init__(
        self,
        *args: Any,
        choices: list[tuple[str, str]],
        people: list[Membership],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._people = {str(one.pk): one for one in people}
        self.fields["domain"].choices = choices  # type: ignore[attr-defined]
        self.fields["people"].choices = [  # type: ignore[attr-defined]
            (pk, f"{one.user.get_username()}, {Role(one.role).label}")
            for pk, one in self._people.items()
        ]

    def wanted_people(self) -> list[Membership]:
        return [self._people[pk] for pk in self.cleaned_data["people"]]


class MemberForm(forms.Form):
    """A member that somebody wants to add."""

    BACKENDS = (
        ("huggingface", _("a folder, or a Hugging Face id in the workers' cache")),
        ("openai_compatible", _("a server that speaks the OpenAI protocol")),
    )

    name = forms.CharField(label=_("Name"), max_length=40, help_text=_("a-z, 0-9, _ and -"))
    backend = forms.ChoiceField(label=_("Where the model is"), choices=BACKENDS)
    model = forms.CharField(
        label=_("Model"), max_length=200, help_text=_("folder, owner/name, or its name there")
    )
    base_url = forms.CharField(
        label=_("Address of the server"),
        max_length=200,
        required=False,
        help_text=_("as far as /v1; its host must be allowed by the operator"),
    )
    api_key_env = forms.CharField(
        label=_("Variable that holds the key"),
        max_length=80,
        required=False,
        help_text=_("such as QWEN_API_KEY; never the key itself"),
    )
    price = forms.FloatField(
        label=_("Price of a million tokens"), min_value=0, max_value=1e6, required=False
    )
    price_in = forms.FloatField(
        label=_("Price of a million tokens that go in"),
        min_value=0,
        max_value=1e6,
        required=False,
    )
    domains = forms.MultipleChoiceField(label=_("Asked about"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, data: Any = None, *, domains: list[str], chosen: str = "") -> None:
        super().__init__(data, initial={"domains": [chosen]})
        titles = [(one, as_shipped(one).title) for one in domains]
        self.fields["domains"].choices = titles  # type: ignore[attr-defined]
