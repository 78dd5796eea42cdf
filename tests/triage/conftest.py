"""The cast: who plays in the access tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User

from tests.factories import make_site, make_user
from triage.choices import Role, SiteKind
from triage.models import Site


@pytest.fixture(scope="module", autouse=True)
def no_reference() -> Iterator[None]:
    """The factories' cases have no picture: they are held to no reference that ships."""
    with patch("triage.selectors.familiarity.load_reference", lambda _domain: None):
        yield


@dataclass(frozen=True)
class Cast:
    """Everybody at a clinic and a household, somebody of another clinic, and a stranger."""

    clinic: Site
    household: Site
    elsewhere: Site
    clinician: User
    colleague: User
    administrator: User
    auditor: User
    caregiver: User
    outsider: User
    stranger: User


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def make_cast() -> Cast:
    clinic = make_site("Clinic")
    household = make_site("Household", kind=SiteKind.HOUSEHOLD, domain="home")
    elsewhere = make_site("Elsewhere")
    return Cast(
        clinic=clinic,
        household=household,
        elsewhere=elsewhere,
        clinician=make_user(clinic, Role.CLINICIAN, "clinician"),
        colleague=make_user(clinic, Role.CLINICIAN, "colleague"),
        administrator=make_user(clinic, Role.ADMINISTRATOR, "administrator"),
        auditor=make_user(clinic, Role.AUDITOR, "auditor"),
        caregiver=make_user(household, Role.CAREGIVER, "caregiver"),
        outsider=make_user(elsewhere, Role.CLINICIAN, "outsider"),
        stranger=make_user(None, name="stranger"),
    )
