"""The domains' pages: what an organisation has written, what is in force here, what differs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from inference import ensemble
from inference.backends.registry import MemberSpec
from inference.ensemble import all_members, members_of, takes
from inference.pipeline.domains import ID, Domain, content_of, domain_ids, load_domain
from inference.services.definitions import kept
from triage.choices import VersionState
from triage.models import DomainVersion, Membership, Site
from triage.selectors.policy_state import active_policy
from triage.selectors.words import domain_at

TEXTS = ("title", "question", "prompt", "reflection")
OF_A_LABEL = ("title", "plain", "severity", "normal", "rule")


@dataclass(frozen=True)
class VersionRow:
    """A version in a list; `state` is how it stands at this site. No row: what ships."""

    version: DomainVersion | None
    state: VersionState
    labels: int

    @property
    def number(self) -> int | None:
        return self.version.version if self.version else None

    @property
    def in_force(self) -> bool:
        return self.state == VersionState.IN_FORCE


@dataclass(frozen=True)
class DomainRow:
    """A domain in the list: shipped or written here, with the versions there are, newest first."""

    id: str
    domain: Domain
    shipped: bool
    here: bool
    members: list[str]
    versions: list[VersionRow]


@dataclass(frozen=True)
class Part:
    """A piece of a text that was kept, taken out or put in: "", "del" or "ins"."""

    change: str
    text: str


@dataclass(frozen=True)
class Difference:
    """What one field of a definition was and is, in pieces."""

    label: str
    field: str
    parts: list[Part]


@dataclass(frozen=True)
class VersionPage:
    """One version as a person of one site sees it.

    compared   what it is held against: the version in force here, else the one before it
    effects    what putting it in force changes, a sentence each; empty where it cannot be
    notes      what the configured members can make of it, where that needs a word
    why_not    why this person may not publish it
    """

    row: VersionRow
    domain: Domain
    shipped: bool
    here: bool
    members: list[str]
    compared: str
    differences: list[Difference]
    effects: list[str]
    notes: list[str]
    may_publish: bool
    why_not: str
    versions: list[VersionRow]
    labels: list[dict[str, Any]]


def newest_version(organisation_id: int, domain_id: str) -> DomainVersion | None:
    versions = DomainVersion.objects.filter(organisation=organisation_id, domain=domain_id)
    return versions.order_by("-version").first()


def is_in_force(site: Site, version: DomainVersion) -> bool:
    """Whether the site asks by it: it was put in force, or it is what ships and nothing was."""
    if version.domain != site.domain:
        return False
    return domain_at(site).digest == version.definition_id


def why_not_publish(site: Site, version: DomainVersion, actor: AbstractBaseUser) -> str:
    """Why this person may not put this version in force, in words; "" if they may.

    What was in force here before may be rolled back to by anybody, and so may what ships.
    """
    own = version.author_id is not None and version.author_id == actor.pk
    if own and site.two_person_rule and not version.publications.filter(site=site).exists():
        return _("You wrote this version yourself: another administrator puts it in force.")
    return ""


def why_not_begin(site: Site, version: DomainVersion, actor: AbstractBaseUser) -> str:
    """Why this person may not open a new site with this version; "" if they may."""
    own = version.author_id is not None and version.author_id == actor.pk
    if own and site.two_person_rule and not version.publications.exists():
        return _("You wrote this version yourself: another administrator adds the site for it.")
    return ""


def domains_page(*, site: Site) -> list[DomainRow]:
    """What this site uses first, then what was written here, then what else ships."""
    written: dict[str, list[DomainVersion]] = {}
    for version in _versions(site):
        written.setdefault(version.domain, []).append(version)
    specs = all_members()
    rows = [_row(site, name, written.get(name, []), specs) for name in {*domain_ids(), *written}]
    return sorted(rows, key=lambda row: (not row.here, row.shipped, row.id))


def domain_row(*, site: Site, domain_id: str) -> DomainRow | None:
    """One domain that this site may know of, None where there is no such."""
    if not ID.fullmatch(domain_id):
        return None
    versions = list(_versions(site).filter(domain=domain_id))
    if not versions and domain_id not in domain_ids():
        return None
    return _row(site, domain_id, versions, all_members())


def version_page(
    *, site: Site, row: DomainRow, version: DomainVersion | None, user: AbstractBaseUser
) -> VersionPage:
    """A version with what it would change here; None is what ships."""
    here = next(one for one in row.versions if one.number == (version and version.version))
    domain = kept(version.definition_id) if version else load_domain(row.id)
    before, compared = _before(site, row, here)
    publishable = version is not None and row.here and here.state != VersionState.IN_FORCE
    why_not = why_not_publish(site, version, user) if version and publishable else ""
    return VersionPage(
        row=here,
        domain=domain,
        shipped=row.shipped,
        here=row.here,
        members=row.members,
        compared=compared if before else "",
        differences=differences(before, domain) if before else [],
        effects=_effects(site, domain) if publishable else [],
        notes=members_in_words(domain),
        may_publish=publishable and not why_not,
        why_not=why_not,
        versions=row.versions,
        labels=content_of(domain)["labels"],
    )


def differences(before: Domain, after: Domain) -> list[Difference]:
    """What differs, field by field and label by label, in the order of the form."""
    old, new = content_of(before), content_of(after)
    found = [_difference("", name, old[name], new[name]) for name in TEXTS]
    old_labels = {label["id"]: label for label in old["labels"]}
    new_labels = {label["id"]: label for label in new["labels"]}
    for name in [*new_labels, *(name for name in old_labels if name not in new_labels)]:
        found += _of_label(name, old_labels.get(name), new_labels.get(name))
    return [one for one in found if any(part.change for part in one.parts)]


def domains_to_choose(site: Site) -> list[tuple[str, str]]:
    """(choice, words) of what a new site of the organisation may watch for, this site's first.

    A choice is the domain's id, with ":version" for one that was written here.
    """
    choices = []
    for row in domains_page(site=site):
        title = _(row.domain.title)
        for one in row.versions:
            if one.version:
                words = _("{0}, version {1}").format(title, one.number)
                choices.append((f"{row.id}:{one.number}", words))
            else:
                choices.append((row.id, _("{0}, as shipped").format(title)))
    return choices


def colleagues(site: Site, user: AbstractBaseUser) -> list[Membership]:
    """The other people of the site, who may come along to a new one."""
    members = Membership.objects.filter(site=site, user__is_active=True).exclude(user=user.pk)
    return list(members.select_related("user").order_by("user__username", "role"))


def _versions(site: Site) -> Any:
    here = Count("publications", filter=Q(publications__site=site))
    versions = DomainVersion.objects.filter(organisation=site.organisation_id)
    versions = versions.select_related("author", "definition").annotate(published=here)
    return versions.order_by("domain", "-version")


def _row(
    site: Site, name: str, versions: Sequence[DomainVersion], specs: Sequence[MemberSpec]
) -> DomainRow:
    shipped = name in domain_ids()
    in_force = domain_at(site).digest if name == site.domain else ""
    listed = [
        VersionRow(one, _state(one, in_force), len(one.definition.content["labels"]))
        for one in versions
    ]
    if shipped and load_domain(name).digest not in {one.definition_id for one in versions}:
        state = VersionState.SHIPPED
        if in_force == load_domain(name).digest:
            state = VersionState.IN_FORCE
        listed.append(VersionRow(None, state, len(load_domain(name).labels)))
    newest = kept(versions[0].definition_id) if versions else load_domain(name)
    return DomainRow(
        id=name,
        domain=domain_at(site) if in_force else newest,
        shipped=shipped,
        here=bool(in_force),
        members=[spec.name for spec in specs if takes(spec, name)],
        versions=listed,
    )


def _state(version: DomainVersion, in_force: str) -> VersionState:
    if version.definition_id == in_force:
        return VersionState.IN_FORCE
    if version.author_id is None and version.definition_id == _shipped_digest(version.domain):
        return VersionState.SHIPPED
    published: int = version.published  # type: ignore[attr-defined]
    return VersionState.RETIRED if published else VersionState.DRAFT


def _shipped_digest(domain_id: str) -> str:
    return load_domain(domain_id).digest if domain_id in domain_ids() else ""


def _before(site: Site, row: DomainRow, here: VersionRow) -> tuple[Domain | None, str]:
    if row.here and here.state != VersionState.IN_FORCE:
        return domain_at(site), _("the version in force here")
    at = row.versions.index(here) + 1
    if at == len(row.versions):
        return None, ""
    older = row.versions[at].version
    if older is None:
        return load_domain(row.id), _("what ships")
    return kept(older.definition_id), _("version {0}").format(older.version)


def _of_label(
    name: str, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> list[Difference]:
    if old and new:
        return [_difference(name, field, old[field], new[field]) for field in OF_A_LABEL]
    change, words = ("ins", new) if new else ("del", old)
    whole = ", ".join(_in_words(field, (words or {})[field]) for field in OF_A_LABEL)
    return [Difference(name, "", [Part(change, whole)])]


def _difference(label: str, field: str, old: Any, new: Any) -> Difference:
    return Difference(label, field, _parts(_in_words(field, old), _in_words(field, new)))


def _in_words(field: str, value: Any) -> str:
    if field == "normal":
        return _("normal") if value else _("not normal")
    if field == "severity":
        return _("severity {0}").format(value)
    return str(value)


def _parts(old: str, new: str) -> list[Part]:
    """The two texts word by word."""
    a, b = re.findall(r"\S+\s*|\s+", old), re.findall(r"\S+\s*|\s+", new)
    parts = []
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(Part("", "".join(a[i:j])))
            continue
        parts += [Part("del", "".join(a[i:j]))] if j > i else []
        parts += [Part("ins", "".join(b[k:m]))] if m > k else []
    return parts


def _effects(site: Site, domain: Domain) -> list[str]:
    """What putting this definition in force does here, said before it is done."""
    policy = active_policy(site, site.domain)
    new = ensemble.current_signature(domain)
    found = [_("The next case here is asked by it. Cases that are here already keep their words.")]
    if policy and policy.calibration and policy.calibration.ensemble == new:
        found.append(
            _("The policy in force, version {0}, was made for it and decides again.").format(
                policy.version
            )
        )
    elif policy:
        found.append(
            _(
                "The policy in force, version {0}, was made for other words: it defers every case "
                "until experts have answered some and a refit is published."
            ).format(policy.version)
        )
    else:
        found.append(_("No policy is in force here: every case goes to a person, as now."))
    return [*found, *members_in_words(domain)]


def members_in_words(domain: Domain) -> list[str]:
    """What the configured members can make of a domain, where that needs a word."""
    members = members_of(domain.id)
    if not members:
        return [
            _(
                "No member takes this domain: every case is deferred, without hypotheses. "
                'A member takes any domain with domains = ["*"] in members.toml; '
                "the small ones that ship know only their own prompts."
            )
        ]
    small = [one.name for one in members if one.options.get("guided")]
    if small and domain.digest != _shipped_digest(domain.id):
        return [
            _(
                "{0}: these small members know only the prompts that they ship with. "
                "Other words need a bigger model, or the scripted one to try things out."
            ).format(", ".join(small))
        ]
    return []
