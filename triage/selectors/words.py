"""The words of a domain's data file in the reader's language."""

from django.utils.translation import gettext

from inference.pipeline.domains import Domain, load_domain


def titles_of(domain: Domain | str, *, plain: bool = False) -> dict[str, str]:
    """label id -> its title, or caregivers' words for it, in the domain's order."""
    found = load_domain(domain) if isinstance(domain, str) else domain
    return {label.id: gettext(label.plain if plain else label.title) for label in found.labels}
