"""What people do about members: ask whether one is well, add one, try it, take it in, retire it.

A member serves every site whose domain it is asked about. So only an administrator with staff
rights on the whole installation changes the ensemble, and all these sites' histories tell of it.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from inference import ensemble
from inference.models import Member, Probe
from inference.pipeline.domains import domain_ids
from inference.services import probes
from triage import events
from triage.errors import Conflict, Forbidden, Refused
from triage.models import Site
from triage.selectors.candidates import known_cases, why_not_take_in
from triage.services.history import record

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
# A key's variable must be one for keys: no other secret of this server is sent away by its name.
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,60}_API_KEY")


def check_member(*, site: Site, name: str, actor: AbstractBaseUser) -> Probe:
    """Have a worker ask a member of the site's ensemble one small real question.

    Raises:
        Refused: there is no such member here.
    """
    specs = {spec.name: spec for spec in ensemble.members_of(site.domain)}
    if name not in specs:
        raise Refused(_("There is no member {0} here.").format(name), "no_member")
    with transaction.atomic():
        probe = probes.ask(spec=specs[name], domain_id=site.domain)
        record("member checked", site=site, actor=actor, member=name)
    return probe


def require_staff(actor: AbstractBaseUser) -> None:
    """Raises Forbidden unless this person may change what all sites are served by."""
    if not getattr(actor, "is_staff", False):
        raise Forbidden(
            _("Members serve every site here: adding one needs staff rights."), "not_staff"
        )


def add_member(
    *,
    actor: AbstractBaseUser,
    name: str,
    backend: str,
    model: str,
    domains: list[str],
    base_url: str = "",
    api_key_env: str = "",
    price: float | None = None,
    price_in: float | None = None,
) -> Member:
    """Write a candidate down. It counts for nothing until it was tried and taken in.

    Raises:
        Forbidden: the actor has no staff rights.
        Refused: something of it cannot be; the message says what.
    """
    require_staff(actor)
    _check_name(name)
    if not domains or not set(domains) <= set(served_domains()):
        raise Refused(_("Choose one or more domains that a site here watches for."), "domain")
    options: dict[str, Any] = {}
    if backend == "openai_compatible":
        options = _server_options(base_url, api_key_env)
        if not model:
            raise Refused(_("Say which model the server shall answer with."), "model")
    elif backend == "huggingface":
        model = _local_model(model)
    else:
        raise Refused(_("Choose a folder or a server."), "backend")
    try:
        with transaction.atomic():
            member = Member.objects.create(
                name=name,
                backend=backend,
                model=model,
                domains=domains,
                options=options,
                price=price,
                price_in=price_in or 0.0,
                added_by_id=actor.pk,
            )
            _tell("member added", member, actor)
    except IntegrityError:
        raise Refused(_("There was a member {0} before.").format(name), "name") from None
    return member


def start_trial(*, member: Member, site: Site, actor: AbstractBaseUser, cases: bool) -> list[Probe]:
    """Have a worker ask a candidate about drawings, and (`cases`) this site's answered cases.

    Raises:
        Forbidden: the actor has no staff rights.
        Conflict: it is no candidate, or a trial of it is going on.
    """
    require_staff(actor)
    with transaction.atomic():
        _locked(member, Member.Status.CANDIDATE)
        asked = Probe.objects.filter(member=member.name).exclude(trial=None)
        if asked.filter(status__in=Probe.UNFINISHED).exists():
            raise Conflict(_("A trial of it is going on."), "trial")
        known = known_cases(site) if cases and site.domain in member.domains else []
        begun = probes.begin_trial(spec=member.spec, cases={site.domain: known})
        record(
            "member tried",
            site=site,
            actor=actor,
            member=member.name,
            questions=len(begun),
            cases=len(known),
        )
    return begun


def take_in(*, member: Member, actor: AbstractBaseUser) -> Member:
    """Make a tried candidate a member. From the next case on another ensemble answers: what was
    calibrated for the one before defers everything until a refit of the new one is in force.

    Raises:
        Forbidden: no staff rights, or two people are needed and the actor added it.
        Conflict: it is no candidate any more, or its trial does not show that it can answer.
    """
    require_staff(actor)
    with transaction.atomic():
        fresh = _locked(member, Member.Status.CANDIDATE)
        if own := why_not_alone(fresh, actor):
            raise Forbidden(own, "two_person_rule")
        if problem := why_not_take_in(fresh):
            raise Conflict(problem, "trial")
        fresh.status = Member.Status.ACTIVE
        fresh.taken_in_by_id, fresh.taken_in_at = actor.pk, timezone.now()
        fresh.save(update_fields=["status", "taken_in_by", "taken_in_at"])
        _tell("member taken in", fresh, actor)
    return fresh


def retire(*, member: Member, actor: AbstractBaseUser) -> Member:
    """Take a member out for good, or drop a candidate. One person suffices, as to defer everything.

    Raises:
        Forbidden: the actor has no staff rights.
        Conflict: it is gone already.
    """
    require_staff(actor)
    with transaction.atomic():
        fresh = _locked(member, Member.Status.CANDIDATE, Member.Status.ACTIVE)
        active = fresh.status == Member.Status.ACTIVE
        fresh.status = Member.Status.RETIRED if active else Member.Status.DROPPED
        fresh.ended_by_id, fresh.ended_at = actor.pk, timezone.now()
        fresh.save(update_fields=["status", "ended_by", "ended_at"])
        _tell("member retired" if active else "member dropped", fresh, actor)
    return fresh


def why_not_alone(member: Member, actor: AbstractBaseUser) -> str:
    """Why this person may not take this candidate in; "" if they may."""
    if member.added_by_id == actor.pk and affected(member).filter(two_person_rule=True).exists():
        return _("You added it yourself: another administrator with staff rights takes it in.")
    return ""


def affected(member: Member) -> QuerySet[Site]:
    """The sites whose cases it is asked about."""
    return Site.objects.filter(domain__in=member.domains)


def served_domains() -> list[str]:
    """The shipped domains that sites here watch for; those written here ask who takes any."""
    return sorted(set(Site.objects.values_list("domain", flat=True)) & set(domain_ids()))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused(_("A name is 1 to 40 of a-z, 0-9, _ and -, no _ or - first."), "name")
    if any(spec.name == name for spec in ensemble.file_members()):
        raise Refused(_("The members' file has a member {0} already.").format(name), "name")


def _server_options(base_url: str, api_key_env: str) -> dict[str, Any]:
    if problem := ensemble.address_problem(base_url):
        raise Refused(_("This server may not be asked: {0}.").format(problem), "address")
    if api_key_env and not KEY_VARIABLE.fullmatch(api_key_env):
        raise Refused(
            _("A key is named by an environment variable of the workers, such as QWEN_API_KEY."),
            "key",
        )
    return {"base_url": base_url} | ({"api_key_env": api_key_env} if api_key_env else {})


def _local_model(model: str) -> str:
    """A folder within ALARM_MODEL_FOLDER, else what looks like a hub id (of the workers' cache)."""
    folder = Path(settings.ALARM_MODEL_FOLDER).resolve()
    path = (folder / model).resolve()
    if model and path != folder and path.is_relative_to(folder) and path.is_dir():
        return str(path)
    if HUB_ID.fullmatch(model) and ".." not in model:
        return model
    raise Refused(
        _("A model is a folder in ALARM_MODEL_FOLDER, or a hub id such as owner/name."), "model"
    )


def _locked(member: Member, *expected: str) -> Member:
    fresh = Member.objects.select_for_update().get(pk=member.pk)
    if fresh.status not in expected:
        raise Conflict(_("{0} has changed meanwhile.").format(fresh.name), "changed")
    return fresh


def _tell(verb: str, member: Member, actor: AbstractBaseUser) -> None:
    for site in affected(member):
        record(verb, site=site, actor=actor, member=member.name, model=Path(member.model).name)
        transaction.on_commit(partial(events.announce, site.pk, "ensemble"))
