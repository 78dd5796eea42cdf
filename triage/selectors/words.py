"""Which words hold where: the version of a domain, and its labels in the reader's language."""

from django.utils.translation import gettext

from inference.pipeline.domains import Domain, load_domain
from inference.services.definitions import kept
from triage.models import Case, Site


def domain_at(site: Site, domain_id: str = "") -> Domain:
    """The version of a site's domain that is in force there: what the next run is asked."""
    if site.definition_id and domain_id in ("", site.domain):
        return kept(site.definition_id)
    return load_domain(domain_id or site.domain)


def domain_of(case: Case) -> Domain:
    """The version of its domain that a case was opened under, whatever is in force by now."""
    return kept(case.definition_id) if case.definition_id else load_domain(case.domain)


def as_shipped(domain_id: str) -> Domain:
    """A domain as it ships: what members are asked about to see whether they are well."""
    return load_domain(domain_id)


def titles_of(domain: Domain, *, plain: bool = False) -> dict[str, str]:
    """label id -> its title, or caregivers' words for it, in the domain's order."""
    return {label.id: gettext(label.plain if plain else label.title) for label in domain.labels}
