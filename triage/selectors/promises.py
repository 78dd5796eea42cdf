"""How often a site's labels were looked at for a promise, and what each look may spend."""

import math

import numpy as np

from triage.models import AuditEvent, Policy, Site

DEFAULT_DELTA = 0.10
GUARANTEE_REFUSED = "guarantee refused"


def spent(look: int) -> float:
    """The share of DEFAULT_DELTA for the k-th look: all looks together never spend more than it.

    delta * 6 / (pi k)^2 sums to delta over k = 1, 2, ... Without it, looking after every few labels
    and taking the first guarantee that qualifies would break its promise far too often.
    """
    return DEFAULT_DELTA * 6 / (np.pi * look) ** 2


def next_look(site: Site, domain: str) -> int:
    """Every version so far, the starting one apart, was a look, and so was each refused promise."""
    versions = Policy.objects.filter(site=site, domain=domain)
    refused = AuditEvent.objects.filter(
        site=site, verb=GUARANTEE_REFUSED, details__domain=domain
    ).count()
    return 1 + versions.count() - versions.filter(choice__starting=True).count() + refused


def least_labels(risk: float, look: int) -> int:
    """The fewest labels among the accepted, all of them right, that can prove this risk."""
    return math.ceil(math.log(spent(look)) / math.log1p(-risk))
