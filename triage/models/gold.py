"""Cases with known answers, put into the queue again."""

from django.conf import settings
from django.db import models

from triage.models.cases import Case
from triage.tenancy import SiteRow


class GoldCase(SiteRow):
    """What is known of a case that `repeats` a settled one, and who may read it.

    It is in their queues as any deferred case, and in nobody's count: triage.selectors.gold.
    """

    WAY_TO_SITE = "case__site"

    case = models.OneToOneField(
        Case, primary_key=True, on_delete=models.CASCADE, related_name="gold"
    )
    label = models.CharField(max_length=80, help_text="The known answer.")
    readers = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        related_name="+",
        help_text="Who had never read, sent or looked at what it repeats.",
    )

    def __str__(self) -> str:
        return f"{self.case} is known to be {self.label}"
