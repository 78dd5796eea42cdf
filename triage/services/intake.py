"""The door: a photo or clip comes in whole, or it stays outside with a clear word."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import BoundedSemaphore, Event

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from inference.media import Limits, MediaRejected, Sanitised, sanitise
from inference.media.sanitising import SENTENCES
from inference.services.definitions import keep
from inference.services.observations import forget_files, store_observation
from inference.services.runs import open_run
from triage.choices import Purpose
from triage.errors import Refused, TriageError
from triage.models import Case, DeviceToken, Site, Subject
from triage.selectors.consents import is_withdrawn
from triage.selectors.words import domain_at
from triage.services.history import record
from triage.services.states import tell

MAX_PSEUDONYM = 60
PATIENCE_S = 30.0  # how long a file waits for its turn to be read
_turns = BoundedSemaphore(settings.ALARM_DECODERS)


class DiskFull(TriageError):
    """Nothing can be stored now; reviewing goes on."""

    status = 507


class Busy(TriageError):
    """Too many files are being read at once; the sender may try again."""

    status = 503


@dataclass(frozen=True)
class Opened:
    """The case of a photo or clip; `created` is False when the same file was here already."""

    case: Case
    created: bool


def open_case(
    *,
    site: Site,
    data: bytes,
    actor: AbstractBaseUser | None = None,
    subject: str = "",
    captured_at: datetime | None = None,
    drawn: bool = False,
    source: str = "page",
    camera: DeviceToken | None = None,
    replaces: Case | None = None,
) -> Opened:
    """Take one photo or clip in: store it, open its case and queue the ensemble's work.

    The same bytes at the same site are one case, however often they are sent.

    Args:
        replaces: the case of the same site whose photo could not be judged; its subject is taken
            over.

    Raises:
        Refused: it is no photo or clip that can be read, the subject's name is too long, or the
            people of the household have withdrawn their consent.
        DiskFull: the disk refused.
        Busy: others' files were being read all the time.
    """
    if is_withdrawn(site, Purpose.WATCH):
        raise Refused(_("The people here have withdrawn consent: nothing is taken in."), "consent")
    if known := Case.objects.filter(site=site, sha256=hashlib.sha256(data).hexdigest()).first():
        return Opened(known, created=False)
    if len(subject) > MAX_PSEUDONYM or "\x00" in subject:
        raise Refused(
            _("A subject's pseudonym has at most {0} plain characters.").format(MAX_PSEUDONYM)
        )
    sanitised = _sanitised(data)
    try:
        case = _store(
            site,
            data,
            sanitised,
            actor,
            subject.strip(),
            captured_at,
            drawn,
            source,
            camera,
            replaces,
        )
    except IntegrityError:
        known = Case.objects.filter(site=site, sha256=sanitised.sha256).first()
        if known is None:
            raise
        return Opened(known, created=False)
    except OSError as error:
        raise DiskFull(
            _("There is no room to store this file. Tell your administrator."), "disk_full"
        ) from error
    return Opened(case, created=True)


def _sanitised(data: bytes) -> Sanitised:
    with _turn():
        try:
            return sanitise(data, limits=Limits(max_bytes=settings.ALARM_UPLOAD_MB << 20))
        except MediaRejected as error:
            sentence = _(SENTENCES[error.code]).format(**error.values)
            raise Refused(sentence, error.code) from error


@contextmanager
def _turn() -> Iterator[None]:
    """A decoder may take a gigabyte and a minute: only a few of them at a time."""
    if not _turns.acquire(timeout=PATIENCE_S):
        raise Busy(_("Many files are coming in just now. Send this one again in a minute."), "busy")
    try:
        yield
    finally:
        _turns.release()


def _store(
    site: Site,
    data: bytes,
    sanitised: Sanitised,
    actor: AbstractBaseUser | None,
    subject: str,
    captured_at: datetime | None,
    drawn: bool,
    source: str,
    camera: DeviceToken | None,
    replaces: Case | None,
) -> Case:
    media, committed, domain = None, Event(), domain_at(site)
    try:
        with transaction.atomic():
            transaction.on_commit(committed.set)
            observation = store_observation(
                domain_id=domain.id,
                original=data,
                sanitised=sanitised,
                captured_at=captured_at,
                drawn=drawn,
            )
            media = observation.media
            case = Case.objects.create(
                site=site,
                domain=domain.id,
                definition_id=keep(domain),
                observation=observation,
                sha256=sanitised.sha256,
                opened_by_id=actor.pk if actor else None,
                subject=replaces.subject if replaces else _subject(site, subject),
                camera=camera,
                replaces=replaces,
            )
            record("opened", site=site, actor=actor, case=case, source=source)
            if replaces:
                record("new photo came", site=site, actor=actor, case=replaces)
                transaction.on_commit(lambda: tell(site.pk, replaces.id), robust=True)
            transaction.on_commit(lambda: tell(site.pk, case.id), robust=True)
            open_run(observation=observation, domain=domain)
    except BaseException:
        if media is not None and not committed.is_set():
            forget_files(media)
        raise
    return case


def _subject(site: Site, pseudonym: str) -> Subject | None:
    if not pseudonym:
        return None
    return Subject.objects.get_or_create(site=site, pseudonym=pseudonym)[0]
