"""Domains written in the console: a change is a new version, put in force site by site.

A version belongs to the organisation that wrote it. What a site asks, each site says for itself: so
one site's administrator changes nothing at another, and one organisation nothing at any other.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.pipeline.domains import (
    ID,
    MAX_LABELS,
    Domain,
    DomainError,
    content_of,
    domain_from,
    domain_ids,
    load_domain,
)
from inference.services.definitions import keep, kept
from triage import events
from triage.errors import Conflict, Forbidden, Invalid, Refused
from triage.models import DomainPublication, DomainVersion, Organisation, Site
from triage.selectors.domains import is_in_force, newest_version, why_not_publish
from triage.services.history import record

MAX_NOTE = 300
FAULTS = {
    "empty": gettext_lazy("This must not be empty."),
    "long": gettext_lazy("This is too long: at most {max_length} characters."),
    "few_labels": gettext_lazy("At least two labels are needed."),
    "many_labels": gettext_lazy("There are too many labels: at most {max_labels}."),
    "severity": gettext_lazy("Choose 1, 2 or 3."),
    "unprintable": gettext_lazy("This holds a line break or an invisible character."),
    "marks": gettext_lazy("A label's name must hold no comma and no quotation mark."),
    "placeholders": gettext_lazy("This must hold {wanted}, and no other $ sign."),
    "duplicate": gettext_lazy("Another label has this name already."),
    "kind": gettext_lazy("This cannot be read."),
}


def write_version(
    *,
    site: Site,
    domain_id: str,
    content: Mapping[str, Any],
    note: str = "",
    new: bool = False,
    actor: AbstractBaseUser,
) -> DomainVersion:
    """Store a definition as the next version of a domain of the site's organisation: a draft.

    Args:
        content: as inference.pipeline.domains reads it; its `version` is given here.
        new: a domain of that name must not exist yet; else it must, shipped or written here.

    Raises:
        Invalid: a sentence for each field that is wrong.
        Refused: nothing differs from the newest version.
    """
    with transaction.atomic():
        organisation = Organisation.objects.select_for_update().get(pk=site.organisation_id)
        newest = _beginning(organisation, domain_id, new)
        number = newest.version + 1 if newest else 1
        domain = checked(domain_id, content, version=str(number), note=note)
        if newest and _same(kept(newest.definition_id), domain):
            raise Refused(_("Nothing differs from version {0}.").format(newest.version), "same")
        version = _add(organisation, domain, number, note, actor)
        record("domain written", site=site, actor=actor, domain=domain_id, version=number)
        transaction.on_commit(lambda: events.announce(site.pk, "domain"))
    return version


def checked(
    domain_id: str, content: Mapping[str, Any], *, version: str = "1", note: str = ""
) -> Domain:
    """The domain of a definition that somebody has filled in. Raises Invalid."""
    faults = {"note": fault} if (fault := _fault_of(note)) else {}
    try:
        domain = domain_from(domain_id, {**content, "version": version})
    except DomainError as error:
        faults |= {one.field: _fault(one.code, one.values) for one in error.faults}
    if faults:
        raise Invalid(_("Some fields need another look: see the sentences beside them."), faults)
    return domain


def publish_version(*, site: Site, version: DomainVersion, actor: AbstractBaseUser) -> Site:
    """Put a version in force at one site: the next run there is asked by it.

    Calibration and policy of what was in force before no longer fit: until a refit is published,
    every case is deferred. Cases that are there keep the words that they were opened under.

    Raises:
        Refused: the site watches for something else.
        Conflict: it is in force already.
        Forbidden: the two-person rule holds here and the actor wrote it.
    """
    if version.domain != site.domain:
        raise Refused(_("This site watches for something else. Add a site for it."), "other")
    with transaction.atomic():
        site = Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        if is_in_force(site, version):
            raise Conflict(_("Version {0} is in force already.").format(version.version), "same")
        if problem := why_not_publish(site, version, actor):
            raise Forbidden(problem, "two_person_rule")
        put_in_force(site, version, actor)
    return site


def put_in_force(site: Site, version: DomainVersion, actor: AbstractBaseUser) -> None:
    """Write down what the site asks from now on, who said so and when."""
    site.definition_id = version.definition_id
    site.save(update_fields=["definition"])
    DomainPublication.objects.create(site=site, version=version, published_by_id=actor.pk)
    record(
        "domain published", site=site, actor=actor, domain=version.domain, version=version.version
    )
    transaction.on_commit(lambda: events.announce(site.pk, "domain"))


def _beginning(organisation: Organisation, domain_id: str, new: bool) -> DomainVersion | None:
    """The newest version; of a shipped domain the shipped text is the first."""
    if new and not ID.fullmatch(domain_id):
        sentence = _("Use 1 to 40 of a-z, 0-9 and -, a letter first.")
        raise Invalid(_("The domain needs another name."), {"name": sentence})
    newest = newest_version(organisation.pk, domain_id)
    known = newest is not None or domain_id in domain_ids()
    if new and known:
        sentence = _("There is a domain of this name already.")
        raise Invalid(_("The domain needs another name."), {"name": sentence})
    if not new and not known:
        raise Refused(_("There is no domain of this name."), "unknown")
    if newest is None and not new:
        return _add(organisation, load_domain(domain_id), 1, "", None)
    return newest


def _add(
    organisation: Organisation,
    domain: Domain,
    number: int,
    note: str,
    author: AbstractBaseUser | None,
) -> DomainVersion:
    return DomainVersion.objects.create(
        organisation=organisation,
        domain=domain.id,
        version=number,
        definition_id=keep(domain),
        note=note.strip(),
        author_id=author.pk if author else None,
    )


def _same(one: Domain, other: Domain) -> bool:
    return content_of(one) | {"version": ""} == content_of(other) | {"version": ""}


def _fault_of(note: str) -> str:
    if len(note) > MAX_NOTE:
        return _fault("long", {"max_length": MAX_NOTE})
    return "" if note.isprintable() else _fault("unprintable", {})


def _fault(code: str, values: Mapping[str, object]) -> str:
    return str(FAULTS[code]).format(**{**values, "max_labels": MAX_LABELS})
