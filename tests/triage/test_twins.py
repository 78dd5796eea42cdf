"""What a page can do, the API can do too: every form has a twin, or a reason to have none."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern

from triage import urls
from triage.api import urls as api_urls

# page -> its twin, where that is not "api-" and the page's own name
OTHERWISE_NAMED = {
    "camera-issue": "api-cameras",
    "retention-set": "api-retention",
    "hold": "api-holds",
    "share-reliance": "api-reliance",
    "new-domain": "api-domains",
    "edit-domain": "api-versions",
    "publish-domain": "api-publish-version",
    "trial": "api-trials",
    "new-site": "api-sites",
    "add-member": "api-members",
    "upload": "api-observations",
    "review": "api-reviews",
    "break-glass": "api-glass",
    "consent": "api-consents",
    "set-care-teams": "api-care-teams",
    "add-to-team": "api-care-teams",
    "mark-gold": "api-gold",
}
# How somebody signs in, which allauth asks for by these names: a browser's session.
SIGNING_IN = ("account_", "mfa_", "openid_connect_")
NO_TWIN = {
    "sign-in": "begins a browser's session",
    "sign-out": "ends a browser's session",
    "switch-site": "the site of a browser's session",
    "set-language": "the language of a browser; a program sends Accept-Language",
    "subscribe": "hands over a key that only a browser can make for itself",
    "draft": "what was typed so far, for the page that it was typed on; a program sends it whole",
}


def pages() -> Iterator[URLPattern]:
    for entry in urls.urlpatterns:
        if _takes_posts(entry.callback) and not str(entry.name).startswith(SIGNING_IN):
            yield entry


def _takes_posts(view: Callable[..., Any]) -> bool:
    """Whatever is not known to refuse a POST."""
    methods = inspect.getclosurevars(view).nonlocals.get("request_method_list")
    return methods is None or "POST" in methods


def twin_of(page: str) -> str:
    return OTHERWISE_NAMED.get(page, f"api-{page}")


def acts_of(route: str) -> dict[str, str]:
    found = [entry.callback for entry in api_urls.urlpatterns if entry.name == route]
    view: Any = found[0] if found else None
    return dict(view.view_class.acts) if view else {}


def act_of(view: Callable[..., Any]) -> str:
    """What `member_page` was told that is done."""
    inner = inspect.unwrap(view, stop=lambda one: "act" in inspect.getclosurevars(one).nonlocals)
    return str(inspect.getclosurevars(inner).nonlocals["act"])


POSTS = {str(entry.name): entry.callback for entry in pages()}


def test_the_walk_finds_the_forms() -> None:
    assert {"defer-all", "costs", "sign-in", "undo"} <= set(POSTS)
    assert not {"queue", "photo", "monitoring"} & set(POSTS)


@pytest.mark.parametrize("page", sorted(POSTS))
def test_every_form_has_a_twin_in_the_api_or_a_reason_to_have_none(page: str) -> None:
    changing = {"POST", "PATCH"} & set(acts_of(twin_of(page)))
    assert bool(changing) != bool(NO_TWIN.get(page))


@pytest.mark.parametrize("page", sorted(set(POSTS) - set(NO_TWIN)))
def test_a_twin_is_for_the_same_people_as_its_page(page: str) -> None:
    acts = acts_of(twin_of(page))
    assert act_of(POSTS[page]) in {acts.get("POST"), acts.get("PATCH")}


def test_no_exception_outlives_its_page() -> None:
    assert set(NO_TWIN) | set(OTHERWISE_NAMED) <= set(POSTS)
