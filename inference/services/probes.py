"""A small real question to a member, outside of any run: what its health is told by.

A worker asks, never a web process. The row is what counts; a message only points at it.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from PIL import Image

from inference import dispatch, ensemble
from inference.backends.errors import BackendError, device_is_lost
from inference.backends.registry import MemberSpec, load_backend
from inference.drawings.samples import Sample, samples
from inference.models import Observation, Probe
from inference.pipeline.domains import load_domain
from inference.pipeline.run import Traces, run_member
from inference.services.ending import DEVICE_LOST, Watched, end_process
from inference.services.observations import frames_of
from inference.signals import probe_ended

log = logging.getLogger(__name__)
# Pictures to ask about where a domain has no drawings of its own: readable, but without a label.
ANY_DRAWINGS = "wound"
# Longest wait for a worker that asks, and longest time that it may take over it.
UNHEARD = timedelta(minutes=30)


def ask(*, spec: MemberSpec, domain_id: str) -> Probe:
    """Have a worker ask a member about the next drawing; one that still waits is not asked twice.

    Raises:
        LookupError: the member is not asked about this domain.
    """
    if domain_id not in spec.domains:
        raise LookupError(f"{spec.name} is not asked about {domain_id}")
    with transaction.atomic():
        waiting = Probe.objects.filter(
            member=spec.name, domain=domain_id, trial=None, status__in=Probe.UNFINISHED
        ).first()
        if waiting:
            return waiting
        drawn = _next_drawing(spec, domain_id)
        probe = Probe.objects.create(
            member=spec.name,
            domain=domain_id,
            sample=drawn.name,
            expected=drawn.label if drawn.domain == domain_id else "",
        )
        transaction.on_commit(partial(send, [probe]), robust=True)
    return probe


def _next_drawing(spec: MemberSpec, domain_id: str) -> Sample:
    """One after the other, so that no answer can be learned by heart."""
    drawn = samples(domain_id) or samples(ANY_DRAWINGS)
    asked = Probe.objects.filter(member=spec.name, domain=domain_id, trial=None).count()
    return drawn[asked % len(drawn)]


@dataclass(frozen=True)
class Known:
    """A past observation to try a candidate on: the expert's label, and what the ensemble said."""

    observation: Observation
    expected: str
    said: str


def begin_trial(*, spec: MemberSpec, cases: Mapping[str, Sequence[Known]]) -> list[Probe]:
    """Have a worker ask a candidate about the drawings of its domains and about past cases.

    Args:
        cases: domain -> what is known there; only of the candidate's domains.
    """
    trial = uuid4()
    asked = [
        Probe(member=spec.name, domain=one, sample=drawn.name, expected=drawn.label, trial=trial)
        for one in spec.domains
        for drawn in samples(one)
    ] + [
        Probe(
            member=spec.name,
            domain=one,
            observation=known.observation,
            expected=known.expected,
            said=known.said,
            trial=trial,
        )
        for one in spec.domains
        for known in cases.get(one, ())
    ]
    with transaction.atomic():
        probes = Probe.objects.bulk_create(asked)
        transaction.on_commit(partial(send, probes), robust=True)
    return probes


def send(probes: list[Probe]) -> None:
    """Point the members' workers at their questions."""
    queues = dispatch.queues_of({probe.member for probe in probes})
    for probe in probes:
        if not dispatch.hint(dispatch.EXECUTE_PROBE, probe.pk, queue=queues[probe.member]):
            return


def execute_probe(*, probe_id: int) -> None:
    """Ask, and store what came of it. Sent twice it is done once."""
    mine = Probe.objects.filter(pk=probe_id, status=Probe.Status.QUEUED)
    if not mine.update(status=Probe.Status.RUNNING, began_at=timezone.now()):
        return
    probe = Probe.objects.get(pk=probe_id)
    lost = None
    try:
        _store(probe, _ask(probe))
    except Exception as error:
        if not isinstance(error, BackendError | LookupError):
            log.exception("%s broke", probe)
        _fail(probe, str(error) or type(error).__name__)
        lost = error if device_is_lost(error) else None
    probe_ended.send(sender=Probe, probe_id=probe.pk, domain=probe.domain)
    if lost is not None:
        end_process(DEVICE_LOST, f"{probe.member}: {lost}")


def _ask(probe: Probe) -> Traces:
    spec = ensemble.asked_member(probe.member)
    return run_member(
        Watched(spec.name, load_backend(spec)),
        load_domain(probe.domain),
        _pictures(probe),
        seed=probe.pk % 2**31,
        frames=spec.frames,
        deadline_s=settings.ALARM_CALL_DEADLINE_S,
    )


def _pictures(probe: Probe) -> list[Image.Image]:
    if probe.observation:
        return frames_of(probe.observation)
    drawn = samples(probe.domain) or samples(ANY_DRAWINGS)
    return [next(one for one in drawn if one.name == probe.sample).draw()]


def _store(probe: Probe, traces: Traces) -> None:
    _comprehension, analysis, _reflection = traces
    unread = next((one.error for one in traces if not one.valid), "")
    Probe.objects.filter(pk=probe.pk, status=Probe.Status.RUNNING).update(
        status=Probe.Status.DONE,
        ended_at=timezone.now(),
        label=analysis.fields.get("label", ""),
        valid=not unread,
        fields={one.stage: one.fields or one.raw_text[:2000] for one in traces},
        tokens=sum(one.tokens for one in traces),
        seconds=sum(one.seconds for one in traces),
        error=unread[:300],
    )


def _fail(probe: Probe, error: str) -> None:
    Probe.objects.filter(pk=probe.pk, status__in=Probe.UNFINISHED).update(
        status=Probe.Status.FAILED, ended_at=timezone.now(), error=error[:300]
    )


def ask_those_due(*, domains: Collection[str]) -> int:
    """Ask each member about each of these domains every ALARM_HEALTH_MINUTES; returns how many."""
    if not settings.ALARM_HEALTH_MINUTES:
        return 0
    asked = {
        (row["member"], row["domain"]): row["last"]
        for row in Probe.objects.filter(trial=None)
        .values("member", "domain")
        .annotate(last=Max("asked_at"))
    }
    long_ago = timezone.now() - timedelta(minutes=settings.ALARM_HEALTH_MINUTES)
    due = [
        (spec, domain_id)
        for spec in ensemble.all_members()
        for domain_id in spec.domains
        if domain_id in domains
        if asked.get((spec.name, domain_id), long_ago) <= long_ago
    ]
    for spec, domain_id in due:
        ask(spec=spec, domain_id=domain_id)
    return len(due)


def give_up_unheard() -> int:
    """Fail the questions that no worker has answered for half an hour; returns how many."""
    unheard = Probe.objects.filter(
        status__in=Probe.UNFINISHED, asked_at__lt=timezone.now() - UNHEARD
    )
    for probe in (found := list(unheard)):
        taken = probe.status == Probe.Status.RUNNING
        _fail(probe, "its worker stopped over it" if taken else "no worker took the question")
        probe_ended.send(sender=Probe, probe_id=probe.pk, domain=probe.domain)
    return len(found)
