"""Reason codes of decisions, and the words people read for them.

A code is `what` or `what:detail[:detail]`; a Decision stores codes, pages show `in_words`.
"""

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

# Codes that object whatever the score says.
LEARNING = frozenset({"learning", "learning_site"})
CONSENT = frozenset({"no_consent"})
UNFAMILIAR = frozenset({"unfamiliar", "novelty_unknown"})
# Why a policy itself decided as it did; all other reasons would have deferred under any policy.
ITS_OWN = frozenset({"certain", "above_threshold", "policy_accepts_nothing", "no_score"})
ITS_OWN |= {"decision_failed"}
# Why the policy in force then did not judge by a threshold at all: nothing of the case itself.
NOT_JUDGED = frozenset({"no_policy", "defer_all", "other_ensemble"})


SENTENCES = {
    "certain": _("The score is at or below the threshold and every stage was answered."),
    "above_threshold": _("The ensemble is less sure than the policy allows."),
    "no_score": _("No uncertainty score could be computed, so it cannot be called sure."),
    "no_policy": _("No policy is in force here, so a person decides."),
    "policy_accepts_nothing": _("The policy in force accepts nothing by itself."),
    "defer_all": _("An administrator has switched to: defer everything."),
    "other_ensemble": _("The policy was made for another ensemble, or for other prompts."),
    "summing_failed": _("The members' answers could not be summed up; the error is in the log."),
    "no_members": _("No member of the ensemble has been trained for this yet."),
    "too_few_members": _("One member alone cannot show how far members agree."),
    "no_prediction": _("No member gave an answer that could be read."),
    "decision_failed": _("The decision itself failed; the error is in the log."),
    "unfamiliar": _(
        "The picture is unlike what the ensemble was trained on or has been checked on here."
    ),
    "novelty_unknown": _(
        "How familiar the picture is could not be told, so it cannot be called familiar."
    ),
    "learning": _(
        "This camera is learning: until at least {0} of its cases have been checked by people "
        "and the ensemble was right often enough, all of them go to a person."
    ),
    "learning_site": _(
        "This site is learning: until at least {0} of the cases that people send have been "
        "checked and the ensemble was right often enough, all of them go to a person."
    ),
    "no_consent": _(
        "The consent by which the caregivers here see pictures has ended: "
        "the site's staff is asked."
    ),
    "failed": _("Member {0} could not answer."),
    "late": _("Member {0} did not answer in time."),
    "unparsable": _("Member {0} gave no readable answer at the stage {1}."),
    "repaired": _("Member {0}'s answer at the stage {1} had to be repaired to be read."),
    "instruction": _("Member {0} read out text that gives orders (stage {1})."),
    "quorum": _("Only {0} of at least {1} members answered in full."),
}


def kinds(codes: Iterable[str]) -> set[str]:
    """The codes without their details."""
    return {code.partition(":")[0] for code in codes}


def in_words(code: str) -> str:
    """One sentence for a reason code; an unknown code is shown as it is."""
    what, *details = code.split(":")
    sentence = str(SENTENCES.get(what, code))
    try:
        return sentence.format(*details)
    except IndexError:
        return code
