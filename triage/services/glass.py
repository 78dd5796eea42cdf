"""Break-glass: a case is opened that somebody need not see, for a reason and for a while."""

from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.choices import GlassReason
from triage.errors import Conflict, Refused
from triage.models import Case, GlassBreak, Site
from triage.selectors.audit_log import cases_numbered
from triage.selectors.glass import GLASS_MINUTES, open_glass
from triage.services.history import record

FEWEST_LETTERS, MOST_LETTERS = 10, 500


def find_case(site: Site, named: str) -> Case:
    """The site's case with this number (8 hexadecimal digits) or id.

    Raises:
        Refused: the site has none.
    """
    digits = named.strip().lower().replace("-", "")
    numbered = cases_numbered(site, digits[:8])
    found = next((case for case in numbered if case.id.hex.startswith(digits)), None)
    if found is None:
        raise Refused(_("There is no case of this number at this site."), "case")
    return found


def break_glass(*, case: Case, user: AbstractBaseUser, reason: str, words: str) -> GlassBreak:
    """Let this person look into the case for GLASS_MINUTES; asked again meanwhile it goes on.

    The words stay beside the history, not in it: they may name somebody, and are erased with the
    case.

    Raises:
        Refused: no reason of the list is given, or too few or too many words are.
        Conflict: there is no picture any more.
    """
    words = words.replace("\x00", "").strip()
    if reason not in GlassReason.values:
        raise Refused(_("Choose why you have to look."), "reason")
    if not FEWEST_LETTERS <= len(words) <= MOST_LETTERS:
        raise Refused(
            _("Say in {0} to {1} letters why you have to look.").format(
                FEWEST_LETTERS, MOST_LETTERS
            ),
            "words",
        )
    with transaction.atomic():
        locked = Case.objects.select_for_update(of=("self",)).select_related("site").get(pk=case.pk)
        if locked.erased_at:
            raise Conflict(_("Its picture has been erased: there is nothing to see."), "erased")
        if known := open_glass(locked, user):
            return known
        now = timezone.now()
        broken = GlassBreak.objects.create(
            case=locked,
            person_id=user.pk,
            reason=reason,
            words=words,
            broken_at=now,
            until=now + timedelta(minutes=GLASS_MINUTES),
        )
        record("broke the glass", site=locked.site, actor=user, case=locked, reason=reason)
    return broken


def review_glass(*, broken: GlassBreak, actor: AbstractBaseUser, justified: bool) -> None:
    """Somebody else has looked at it, and found it justified or not.

    Raises:
        Refused: it is the person's own.
        Conflict: it has been looked at already.
    """
    if broken.person_id == actor.pk:
        raise Refused(_("You opened it yourself: another administrator looks at it."), "own")
    with transaction.atomic():
        changed = GlassBreak.objects.filter(
            pk=broken.pk, case=broken.case_id, reviewed_at=None
        ).update(reviewed_by=actor.pk, reviewed_at=timezone.now(), justified=justified)
        if not changed:
            raise Conflict(_("It has been looked at already."), "reviewed")
        record(
            "found broken glass justified" if justified else "found broken glass not justified",
            site=broken.case.site,
            actor=actor,
            case=broken.case,
            whose=broken.person.get_username(),
        )
