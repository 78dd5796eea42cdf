"""What people do about members: ask whether one is well."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from inference import ensemble
from inference.models import Probe
from inference.services import probes
from triage.errors import Refused
from triage.models import Site
from triage.services.history import record


def check_member(*, site: Site, name: str, actor: AbstractBaseUser) -> Probe:
    """Have a worker ask a member of the site's ensemble one small real question.

    Raises:
        Refused: there is no such member here.
    """
    specs = {spec.name: spec for spec in ensemble.members_of(site.domain)}
    if name not in specs:
        raise Refused(_("There is no member {0} here.").format(name), "no_member")
    with transaction.atomic():
        probe = probes.ask(spec=specs[name], domain_id=site.domain)
        record("member checked", site=site, actor=actor, member=name)
    return probe
