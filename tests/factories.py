"""The things tests are about, made in one line each."""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from inference.models import Media, MemberJob, Observation, Run, StageTrace
from inference.pipeline.domains import content_of, domain_from, load_domain
from inference.pipeline.stages import Stage
from inference.services.answers import DIMENSIONS
from inference.services.definitions import keep
from inference.services.runs import finish_run
from inference.uq.answers import Answers
from inference.uq.ensemble import Calibration as FittedCalibration
from inference.uq.types import Numbers
from triage import guards
from triage.choices import PolicyMode, PolicyStatus, Role, SiteKind
from triage.models import (
    Calibration,
    Case,
    DeviceToken,
    DomainVersion,
    Membership,
    Organisation,
    Policy,
    Site,
)
from triage.selectors.learning import Source
from triage.services.history import start_chain
from triage.services.learning import begin

MEMBERS = ("alpha", "beta", "gamma")
SIGNATURE = "0" * 64
LABELS = load_domain("wound").label_ids
counter = itertools.count(1)


def make_site(
    name: str = "",
    *,
    kind: str = SiteKind.CLINIC,
    domain: str = "wound",
    learning: bool = False,
) -> Site:
    """A site that is trusted unless it should be learning."""
    number = next(counter)
    organisation = Organisation.objects.create(name=f"Organisation {number}")
    site = Site.objects.create(
        organisation=organisation, name=name or f"Site {number}", kind=kind, domain=domain
    )
    start_chain(site)
    begin(Source(site, domain), learning=learning)
    return site


def make_camera(site: Site, name: str = "camera", *, learning: bool = False) -> DeviceToken:
    """A camera that is trusted unless it should be learning."""
    camera = DeviceToken.objects.create(site=site, name=name, digest=f"{next(counter):064x}")
    begin(Source(site, site.domain, camera), learning=learning)
    return camera


def rewrite(rows: QuerySet[Any], **values: object) -> None:
    """Set what a test needs set in rows that the database guards."""
    with guards.lifted():
        rows.update(**values)


def make_user(site: Site | None, role: str = Role.CLINICIAN, name: str = "") -> User:
    user = get_user_model().objects.create_user(name or f"{role}{next(counter)}", password="secret")
    if site:
        Membership.objects.create(user=user, site=site, role=role)
    return user


def vector(text: str, near: str = "", distance: float = 1.0) -> Numbers:
    """A unit vector that the text decides; the smaller `distance`, the nearer to that of `near`."""
    mixed = distance * _direction(text) + (_direction(near) if near else 0)
    unit: Numbers = (mixed / np.linalg.norm(mixed)).astype("<f4")
    return unit


def _direction(text: str) -> Numbers:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    return np.random.default_rng(seed).normal(size=DIMENSIONS)


def make_case(
    site: Site,
    labels: Sequence[str | None] = ("Burns", "Burns", "Burns"),
    *,
    reflected: Sequence[str | None] | None = None,
    disagreement: float = 0.3,
    finish: bool = True,
    subject: str = "",
    camera: DeviceToken | None = None,
    visual: Numbers | None = None,
    described: str = "",
) -> Case:
    """A case whose members have answered these labels; None is a member that failed.

    `described`: what all of them see; something of its own in each case where it is left out.

    The run is finished, and so the case decided, unless `finish` is False.
    """
    number = next(counter)
    seen = None if visual is None else visual.astype("<f4").tobytes()
    observation = Observation.objects.create(domain=site.domain, visual=seen)
    Media.objects.create(
        observation=observation,
        sha256=f"{number:064x}",
        original="original",
        shown="shown",
        thumbnail="thumbnail",
        width=640,
        height=640,
    )
    case = Case.objects.create(
        site=site,
        domain=site.domain,
        observation=observation,
        sha256=f"{number:064x}",
        camera=camera,
    )
    run = make_run(observation, len(labels))
    for member, label, second in zip(MEMBERS, labels, reflected or labels, strict=False):
        add_answer(run, member, label, second, disagreement, described)
    if finish:
        finish_run(run_id=run.id)
        case.refresh_from_db()
    return case


def make_run(observation: Observation, members: int = 3) -> Run:
    run = Run.objects.create(
        observation=observation,
        pins={"members": {name: {} for name in MEMBERS[:members]}},
        ensemble=SIGNATURE,
        quorum=members,
        deadline_at=timezone.now() + timedelta(minutes=5),
    )
    MemberJob.objects.bulk_create(
        [MemberJob(run=run, member=name, sent_at=timezone.now()) for name in MEMBERS[:members]]
    )
    return run


def add_answer(
    run: Run,
    member: str,
    label: str | None,
    reflected: str | None,
    disagreement: float,
    described: str = "",
) -> None:
    """Mark a member's job as done and store its three traces, or as failed without a label."""
    job = run.jobs.get(member=member)
    job.status = MemberJob.Status.DONE if label else MemberJob.Status.FAILED
    job.attempt = 1
    job.save(update_fields=["status", "attempt"])
    if not label:
        return
    picture = str(run.observation_id)
    said = {
        Stage.COMPREHENSION: {"description": f"{member} sees {described or picture}"},
        Stage.ANALYSIS: {"reasoning": f"{member} thinks {label}", "label": label},
        Stage.REFLECTION: {"reflection": "kept", "label": reflected or label},
    }
    near = {Stage.COMPREHENSION: described or picture, Stage.ANALYSIS: label}
    for stage, fields in said.items():
        text = f"{member} {picture}"
        row = vector(text, near[stage], disagreement) if stage in near else None
        StageTrace.objects.create(
            run=run,
            member=member,
            stage=stage,
            attempt=1,
            prompt_hash="0" * 64,
            raw_text=str(fields),
            fields=fields,
            valid=True,
            tokens=10,
            seconds=0.1,
            logprob=-0.1,
            embedding=row.tobytes() if row is not None else None,
        )


def fitted(n: int = 120, seed: int = 0) -> FittedCalibration:
    """A calibration fitted on made-up answers in which disagreement goes with error."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.4
    labels = np.full((n, 3), "Burns", dtype=object)
    labels[hard, 2] = "Cut"
    reflected = labels.copy()
    reflected[rng.random(n) < 0.15, 1] = "Bruises"
    spread = np.where(hard, 1.5, 0.2)[:, None, None]

    def texts() -> np.ndarray:
        common = rng.normal(size=(n, 1, DIMENSIONS))
        return common + spread * rng.normal(size=(n, 3, DIMENSIONS))

    answers = Answers(
        members=MEMBERS,
        descriptions=texts(),
        reasonings=texts(),
        labels=labels,
        reflected=reflected,
        logprobs=np.full((n, 3), -0.1),
    )
    correct = np.where(hard, rng.random(n) < 0.5, rng.random(n) < 0.95).astype(float)
    return FittedCalibration().fit(answers, correct)


def make_version(site: Site) -> DomainVersion:
    """A draft of the site's domain with another question, written by the system."""
    content = content_of(load_domain(site.domain)) | {"question": "What is it?"}
    digest = keep(domain_from(site.domain, content))
    number = DomainVersion.objects.filter(organisation=site.organisation).count() + 1
    return DomainVersion.objects.create(
        organisation=site.organisation, domain=site.domain, version=number, definition_id=digest
    )


_PARAMETERS: dict[str, object] = {}


def make_policy(
    site: Site,
    *,
    threshold: float | None = 0.2,
    method: str = "vote_entropy",
    mode: str = PolicyMode.PERCENTILE,
    status: str = PolicyStatus.ACTIVE,
    audit_share: float = 0.000001,
    calibrated: bool = True,
) -> Policy:
    """A policy on made-up calibration data; audits are as good as off unless asked for."""
    if not _PARAMETERS:
        _PARAMETERS.update(fitted().to_dict())
    calibration = (
        Calibration.objects.create(
            site=site,
            domain=site.domain,
            parameters=_PARAMETERS,
            ensemble=SIGNATURE,
            window={"shipped": True},
        )
        if calibrated
        else None
    )
    version = Policy.objects.filter(site=site, domain=site.domain).count() + 1
    return Policy.objects.create(
        site=site,
        domain=site.domain,
        version=version,
        status=status,
        calibration=calibration,
        method=method,
        mode=mode,
        threshold=threshold,
        audit_share=audit_share,
    )
