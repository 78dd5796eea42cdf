"""What people type, checked before it reaches a service."""

from django import forms
from django.utils.translation import gettext_lazy as _

from inference.pipeline.domains import Domain
from inference.uq.promotion import LEARNED
from triage.choices import PolicyMode, RetakeReason
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


class ProposeForm(forms.Form):
    """A policy that an administrator wants to see replayed."""

    MODES = (
        (PolicyMode.GUARANTEED, _("guaranteed risk: at most this share wrong among the accepted")),
        (PolicyMode.COST, _("expected cost: a review costs this share of an error")),
        (PolicyMode.PERCENTILE, _("workload: defer this share")),
    )
    METHODS = (
        ("cold_start", _("votes and reasonings (needs no labels)")),
        ("alarm", _("the three stages combined (ALARM)")),
        ("vote_entropy", _("votes alone")),
        (LEARNED, _("the learned aggregator, with a label of its own")),
    )

    mode = forms.ChoiceField(label=_("Choose the threshold by"), choices=MODES)
    value = forms.FloatField(
        label=_("Percent"), min_value=0.5, max_value=99, initial=10, help_text=_("0.5 to 99")
    )
    method = forms.ChoiceField(label=_("On the score"), choices=METHODS)
