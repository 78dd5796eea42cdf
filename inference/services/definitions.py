"""Definitions of domains, kept by their digest: what was once asked can be read again for ever."""

from functools import lru_cache

from inference.models import Definition, Run
from inference.pipeline.domains import Domain, content_of, domain_from, domain_ids, load_domain


def keep(domain: Domain) -> str:
    """Store the definition unless it is there; returns its digest."""
    content = {"domain": domain.id, "content": content_of(domain)}
    Definition.objects.get_or_create(digest=domain.digest, defaults=content)
    return domain.digest


@lru_cache(maxsize=512)
def kept(digest: str) -> Domain:
    """The domain of a stored definition; what a digest stands for never changes.

    Raises:
        LookupError: it was never stored.
    """
    row = Definition.objects.filter(digest=digest).first()
    if row is None:
        raise LookupError(f"no definition {digest[:12]} is stored")
    return domain_from(row.domain, row.content)


def asked(run: Run) -> Domain:
    """The domain in the version that a run pins; runs from before these were kept have the file's.

    Raises:
        LookupError: it pins a definition that is neither stored nor shipped.
        DomainError: it pins none, and its domain is not shipped.
    """
    pinned = run.pins.get("domain", {})
    digest, name = pinned.get("digest", ""), pinned.get("id", "") or run.observation.domain
    if name in domain_ids() and (not digest or load_domain(name).digest == digest):
        return load_domain(name)
    return kept(digest) if digest else load_domain(name)
