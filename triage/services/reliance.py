"""Whether a reviewer's own counts are shown to the administrators with the name."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from triage.choices import Role
from triage.models import Membership, Site
from triage.services.history import record


def share_reliance(*, site: Site, user: AbstractBaseUser, shared: bool) -> None:
    """From now on, or no more; only the reviewer decides that."""
    mine = Membership.objects.filter(site=site, user_id=user.pk, role=Role.CLINICIAN)
    with transaction.atomic():
        if mine.exclude(shares_reliance=shared).update(shares_reliance=shared):
            record("shared reliance" if shared else "kept reliance private", site=site, actor=user)
