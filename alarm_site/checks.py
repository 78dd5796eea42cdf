"""What must hold before the server may be reached from other machines (`check --deploy`).

alarm.E001  the secret key is one that everybody knows, or short
alarm.E002  pages show what went wrong inside
alarm.E003  any name of this server is believed, or none but the loopback names
alarm.E004  a demonstration would be made
alarm.E005  accounts with the password of the demonstration exist
alarm.E006  a domain's reference cannot be used: all of its cases go to people
alarm.E007  members of staff would need no second factor
alarm.W001  a domain has no reference: pictures unlike all that is known are not noticed
alarm.W002  a provider's groups are given roles at a site that is not there, or not there once
"""

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from inference.ensemble import file_members
from inference.novelty import load_reference

TAG = "alarm"
LOOPBACK_NAMES = {"127.0.0.1", "localhost", "[::1]"}


def weak(key: str) -> bool:
    """Whether a key is short, or the one that settings fall back to on loopback."""
    return len(key) < 40 or key.startswith("only-for-a-server-bound-to-loopback")


@register(TAG, Tags.security, deploy=True)
def server_is_fit_for_others(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    """Refuses the settings that are only right on one's own machine."""
    if settings.LOOPBACK:
        return []
    names = set(settings.ALLOWED_HOSTS)
    unfit = {
        "E001": (weak(settings.SECRET_KEY), "Set SECRET_KEY to 40 random characters or more."),
        "E002": (settings.DEBUG, "Set ALARM_DEBUG=0: error pages would show what is inside."),
        "E003": (
            "*" in names or names <= LOOPBACK_NAMES,
            "Set ALLOWED_HOSTS to the names under which this server is reached.",
        ),
        "E007": (
            not settings.ALARM_SECOND_FACTOR,
            "Leave ALARM_SECOND_FACTOR unset: staff sign in with a second factor.",
        ),
        "E004": (settings.ALARM_DEMO, "Set ALARM_DEMO=0: everybody knows its passwords."),
    }
    return [Error(words, id=f"alarm.{code}") for code, (bad, words) in unfit.items() if bad]


@register(TAG, Tags.database, deploy=True)
def no_demonstration_for_others(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None, **kwargs: object
) -> list[CheckMessage]:
    """Accounts with the demonstration's password sign in on loopback only."""
    if settings.LOOPBACK or not databases:
        return []
    names = open_accounts()
    words = f"HOST={settings.HOST} is refused: everybody knows the passwords of {names}."
    hint = "Change them, or name another database with ALARM_DATA or DATABASE_URL."
    return [Error(words, hint=hint, id="alarm.E005")] if names else []


@register(TAG, deploy=True)
def the_unknown_is_recognised(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    """Names the domains of the configured members that know nothing of novelty."""
    hint = "Training writes it beside the members: docs/ensemble.md."
    found: list[CheckMessage] = []
    for domain_id in sorted({one for spec in file_members() for one in spec.domains}):
        try:
            if load_reference(domain_id) is None:
                words = f"{domain_id} has no reference: what is unlike all known is not noticed."
                found.append(Warning(words, hint=hint, id="alarm.W001"))
        except (OSError, ValueError) as error:
            found.append(Error(str(error), hint=hint, id="alarm.E006"))
    return found


@register(TAG, Tags.database, deploy=True)
def provider_fits(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None, **kwargs: object
) -> list[CheckMessage]:
    """Names the sites of ALARM_OIDC_ROLES that give nobody a role."""
    from triage.selectors.people import places_by_slug

    if not databases or not settings.ALARM_OIDC_ROLES:
        return []
    try:
        known = set(places_by_slug())
    except DatabaseError:  # not migrated yet
        return []
    missing = sorted({site for _group, _role, site in settings.ALARM_OIDC_ROLES} - known)
    words = f"ALARM_OIDC_ROLES: no place, or more than one, is called {', '.join(missing)}."
    hint = f"There are: {', '.join(sorted(known)) or 'none yet'}."
    return [Warning(words, hint=hint, id="alarm.W002")] if missing else []


def open_accounts() -> str:
    """The accounts that still have the demonstration's password, named for a person."""
    from triage.services.demo import ACCOUNTS, PASSWORD

    names = [username for username, _role, _site in ACCOUNTS]
    people = get_user_model().objects.filter(username__in=names, is_active=True)
    try:
        return ", ".join(p.get_username() for p in people if p.check_password(PASSWORD))
    except DatabaseError:  # not migrated yet: nobody is in it
        return ""
