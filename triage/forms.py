"""What people type, checked before it reaches a service."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inference.pipeline.domains import Domain
from triage.choices import PolicyMode, RetakeReason, Role, SiteKind
from triage.models import Membership
from triage.selectors.what_if import SCORES
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


class ThresholdForm(forms.Form):
    """A threshold that somebody has found on the dial."""

    method = forms.ChoiceField(choices=list(SCORES.items()))
    threshold = forms.FloatField()


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
