"""What was seen and what the models said about it."""

import uuid
from typing import ClassVar

import numpy as np
from django.conf import settings
from django.db import models
from django.db.models import Q

from inference.backends.registry import MemberSpec
from inference.pipeline.stages import Stage


def media_folder(media: "Media") -> str:
    """Where all files of an observation lie, and nothing else."""
    return f"{media.observation_id.hex[:2]}/{media.observation_id.hex}"


def media_path(media: "Media", _name: str) -> str:
    """Server-made names: nothing of what the sender called the file reaches the disk."""
    return f"{media_folder(media)}/{uuid.uuid4().hex}"


def frame_path(frame: "Frame", name: str) -> str:
    """Beside the other files of its observation."""
    return media_path(frame.media, name)


class Definition(models.Model):
    """A domain's whole content, by its digest: written once, shared by all who ask the same."""

    digest = models.CharField(primary_key=True, max_length=64, help_text="SHA-256 (hex).")
    domain = models.CharField(max_length=40)
    content = models.JSONField(help_text="As inference.pipeline.domains reads it.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.domain} {self.digest[:8]}"

    def save(self, *args: object, **kwargs: object) -> None:
        if not self._state.adding:
            raise TypeError("A Definition is written once: its digest is its name.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class Observation(models.Model):
    """What was seen, once: one photo or clip, of a wound or of a room."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    domain = models.CharField(max_length=40)
    captured_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)
    drawn = models.BooleanField(default=False, help_text="A drawing by this project, no photo.")
    visual = models.BinaryField(null=True, help_text="float32, little-endian: visual features.")

    def __str__(self) -> str:
        return f"{self.domain} {self.id.hex[:8]}"


class Media(models.Model):
    """One file of an observation, a photo or a clip.

    `original` is kept as it came, sealed: no view serves it. `shown` is re-encoded, without any
    metadata; of a photo it is also what the members look at, of a clip it is one of its frames.
    `clip` is the playback copy, empty for a photo.
    """

    observation = models.OneToOneField(Observation, on_delete=models.CASCADE, related_name="media")
    sha256 = models.CharField(max_length=64, db_index=True)
    original = models.FileField(upload_to=media_path)
    shown = models.FileField(upload_to=media_path)
    thumbnail = models.FileField(upload_to=media_path)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    clip = models.FileField(upload_to=media_path, blank=True)
    duration_s = models.FloatField(default=0, help_text="Seconds a clip lasts; 0 for a photo.")

    def __str__(self) -> str:
        return f"{self.width} x {self.height}, {self.sha256[:8]}"


class Frame(models.Model):
    """One of the pictures of a clip that the members look at, in the order of the clip."""

    media = models.ForeignKey(Media, on_delete=models.CASCADE, related_name="frames")
    position = models.PositiveSmallIntegerField()
    at_s = models.FloatField(help_text="Seconds from the clip's beginning.")
    shown = models.FileField(upload_to=frame_path)
    thumbnail = models.FileField(upload_to=frame_path)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["media", "position"], name="one_frame_a_position"),
        ]

    def __str__(self) -> str:
        return f"frame {self.position} at {self.at_s:.1f} s"


class Run(models.Model):
    """One execution of the pinned pipeline over one observation.

    States:  queued -> running -> scored | failed

    `pins` holds what the answer depended on (domain version and digest, members with their
    fingerprints, quorum, seed, code version), so that any decision can be rebuilt. The Definition
    of the domain is stored under the pinned digest.

    A `trial` run asks about something that was answered long ago; nothing is ever decided by it.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SCORED = "scored"
        FAILED = "failed"

    UNFINISHED: ClassVar = (Status.QUEUED, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    observation = models.ForeignKey(Observation, on_delete=models.CASCADE, related_name="runs")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    pins = models.JSONField(default=dict)
    ensemble = models.CharField(max_length=64, help_text="Signature of the pins.")
    trial = models.BooleanField(default=False)
    seed = models.PositiveIntegerField(default=0)
    quorum = models.PositiveSmallIntegerField()
    deadline_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    problems = models.JSONField(default=list, help_text="Why it cannot be trusted, as codes.")
    trace_id = models.CharField(
        max_length=32, blank=True, help_text="Of the request that opened it: inference.tracing."
    )
    prediction = models.CharField(max_length=80, blank=True)
    share = models.FloatField(null=True, help_text="Vote share of the prediction, 0 to 1.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "scored", "failed"]),
                name="run_status_known",
            ),
            models.CheckConstraint(
                condition=Q(share__isnull=True) | Q(share__gte=0, share__lte=1),
                name="run_share_is_a_share",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["status", "deadline_at"], name="run_sweep")]

    def __str__(self) -> str:
        return f"run {self.id.hex[:8]} {self.status}"

    @property
    def finished(self) -> bool:
        return self.status not in self.UNFINISHED


class MemberJob(models.Model):
    """One member's work on one run: the row that is the queue; a Celery message only points at it.

    States:  queued -> running -> done | failed;  running -> queued when its lease ran out

    `token` is the fence: a worker that lost its lease cannot write its late result.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    UNFINISHED: ClassVar = (Status.QUEUED, Status.RUNNING)

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="jobs")
    member = models.CharField(max_length=80)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    stage = models.CharField(max_length=20, blank=True, help_text="The stage that is going on.")
    attempt = models.PositiveSmallIntegerField(default=0)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "member"], name="one_job_a_run_and_member"),
        ]
        indexes: ClassVar = [models.Index(fields=["status", "lease_until"], name="job_sweep")]

    def __str__(self) -> str:
        return f"{self.member} on {self.run_id.hex[:8]}: {self.status}"


class StageTrace(models.Model):
    """One member's one stage: what it was asked (as a hash), what it said, what that meant.

    A `late` one came when its run was closed, or its job with somebody else: it is kept to be seen,
    and no vote, score or decision reads it.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="traces")
    member = models.CharField(max_length=80)
    stage = models.CharField(max_length=20, choices=[(s.value, s.value) for s in Stage])
    attempt = models.PositiveSmallIntegerField()
    prompt_hash = models.CharField(max_length=64)
    raw_text = models.TextField()
    fields = models.JSONField(default=dict)
    valid = models.BooleanField()
    repaired = models.BooleanField(default=False)
    error = models.CharField(max_length=300, blank=True)
    tokens = models.PositiveIntegerField(default=0, help_text="Generated.")
    prompt_tokens = models.PositiveIntegerField(default=0, help_text="That went in.")
    seconds = models.FloatField(default=0)
    logprob = models.FloatField(null=True)
    embedding = models.BinaryField(null=True, help_text="float32, little-endian, of the text.")
    late = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "member", "stage", "attempt"], name="one_trace_a_stage_and_attempt"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} {self.stage}"

    @property
    def vector(self) -> np.ndarray | None:
        """The text's embedding, (384,) float32, or None where there was no text."""
        return np.frombuffer(self.embedding, dtype="<f4") if self.embedding else None


class Hypothesis(models.Model):
    """One label that members hold, with the strongest of their reasonings and its vote share."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="hypotheses")
    label = models.CharField(max_length=80)
    share = models.FloatField()
    members = models.JSONField()
    reasoning = models.TextField()

    class Meta:
        ordering: ClassVar = ["-share", "label"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "label"], name="one_hypothesis_a_label"),
            models.CheckConstraint(
                condition=Q(share__gte=0, share__lte=1), name="hypothesis_share_is_a_share"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.share:.0%}"


class UncertaintyScore(models.Model):
    """One score of one run; higher is always less certain, None is "could not be computed"."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="scores")
    method = models.CharField(max_length=40)
    value = models.FloatField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "method"], name="one_score_a_run_and_method"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.value}"


class Member(models.Model):
    """A member that was added in the console: asked beside those of the members' file.

    States:  candidate -> active -> retired;  candidate -> dropped

    Only its state ever changes: another model or address is another member, and no name comes
    twice, so that a name in a run's pins always means the same.
    """

    class Status(models.TextChoices):
        CANDIDATE = "candidate"
        ACTIVE = "active"
        RETIRED = "retired"
        DROPPED = "dropped"

    MUTABLE: ClassVar = frozenset({"status", "taken_in_by", "taken_in_at", "ended_by", "ended_at"})

    name = models.CharField(max_length=40, unique=True)
    backend = models.CharField(max_length=40)
    model = models.CharField(max_length=300)
    domains = models.JSONField(default=list)
    options = models.JSONField(default=dict)
    price = models.FloatField(null=True, help_text="Of a million generated tokens.")
    price_in = models.FloatField(default=0, help_text="Of a million tokens that go in.")
    status = models.CharField(max_length=10, choices=Status, default=Status.CANDIDATE)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    added_at = models.DateTimeField(auto_now_add=True)
    taken_in_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    taken_in_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"

    def save(self, *args: object, **kwargs: object) -> None:
        changed = kwargs.get("update_fields")
        if not self._state.adding and not (changed and self.MUTABLE.issuperset(changed)):  # type: ignore[arg-type]
            raise TypeError("A Member is immutable: add another one.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    @property
    def spec(self) -> MemberSpec:
        """As a line of the members' file would say it."""
        return MemberSpec(
            name=self.name,
            backend=self.backend,
            model=self.model,
            domains=tuple(self.domains),
            options=self.options,
            price=self.price,
            price_in=self.price_in,
        )


class Probe(models.Model):
    """One question to one member outside of any run: whether it answers, how fast, and what.

    States:  queued -> running -> done | failed

    It is about a drawing (`sample`), or in a trial also about a past observation. Done says that
    the member answered; `valid` that its answer could be read.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    UNFINISHED: ClassVar = (Status.QUEUED, Status.RUNNING)

    member = models.CharField(max_length=80)
    domain = models.CharField(max_length=40)
    trial = models.UUIDField(null=True, help_text="The trial it belongs to; None asks for health.")
    observation = models.ForeignKey(
        Observation, null=True, on_delete=models.CASCADE, related_name="probes"
    )
    sample = models.CharField(max_length=80, blank=True, help_text="The drawing's name.")
    said = models.CharField(max_length=80, blank=True, help_text="What the ensemble had said.")
    expected = models.CharField(max_length=80, blank=True, help_text="The label it should give.")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    asked_at = models.DateTimeField(auto_now_add=True)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    label = models.CharField(max_length=80, blank=True)
    valid = models.BooleanField(default=False)
    fields = models.JSONField(default=dict, help_text="What it said in each stage.")
    tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["member", "-id"], name="probe_newest"),
            models.Index(
                fields=["asked_at"],
                name="probe_open",
                condition=Q(status__in=["queued", "running"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} on {self.sample or 'a case'}: {self.status}"
