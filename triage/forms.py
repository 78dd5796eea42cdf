"""What people type, checked before it reaches a service."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inference.pipeline.domains import Domain, load_domain
from triage.choices import PolicyMode, RetakeReason
from triage.selectors.what_if import SCORES
from triage.services.reviews import MAX_COMMENT


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
    domains = forms.MultipleChoiceField(label=_("Asked about"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, data: Any = None, *, domains: list[str], chosen: str = "") -> None:
        super().__init__(data, initial={"domains": [chosen]})
        titles = [(one, load_domain(one).title) for one in domains]
        self.fields["domains"].choices = titles  # type: ignore[attr-defined]
