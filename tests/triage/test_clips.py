"""A clip comes in through every door, and only those who may see it are shown it."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.fields.files import FieldFile
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from inference.models import Frame, Media, MemberJob, Observation
from inference.services.observations import frames_of
from inference.services.runs import finish_run
from tests.factories import add_answer, make_case, make_policy
from tests.media import clips
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.errors import Refused
from triage.models import AuditEvent, Case, Site
from triage.selectors import said
from triage.services import queue, reviews
from triage.services.intake import DiskFull, open_case
from triage.services.tokens import issue_token

pytestmark = pytest.mark.django_db
PEOPLE = ("clinician", "colleague", "administrator", "caregiver", "outsider", "stranger")
ROUTES = ("photo", "thumbnail", "clip", "frame", "frame-thumbnail")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: object) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path / "media"  # type: ignore[attr-defined]


@cache
def moving(format_: str = "mp4") -> bytes:
    if format_ == "gif":
        return clips.gif([clips.room(), clips.room("fall")])
    return clips.clip(clips.shots(2.0, jump_s=1.2), format_, "mpeg4")


def signed(person: User | None) -> Client:
    client = Client()
    if person:
        client.force_login(person)
    return client


def opened(site: Site) -> Case:
    return open_case(site=site, data=moving()).case


def url(route: str, case: Case, position: int = 0) -> str:
    return reverse(route, args=[case.pk, *([position] if route.startswith("frame") else [])])


def stored(file: FieldFile) -> bytes:
    return Path(file.path).read_bytes()


def picture_in(file: FieldFile) -> Image.Image:
    return Image.open(io.BytesIO(stored(file))).convert("RGB")


def files() -> list[Path]:
    return [path for path in Path(django_settings.MEDIA_ROOT).rglob("*") if path.is_file()]


# Kept whole or not at all -------------------------------------------------------------------------


def test_a_clip_is_kept_with_its_copy_and_what_is_judged(cast: Cast) -> None:
    media = opened(cast.household).observation.media
    assert stored(media.clip)[4:8] == b"ftyp"
    assert stored(media.original) == moving()
    assert media.duration_s == pytest.approx(2.0, abs=0.11)
    frames = list(media.frames.all())
    assert [frame.position for frame in frames] == list(range(8))
    assert 1.2 in [frame.at_s for frame in frames]
    assert stored(media.shown) == stored(frames[4].shown)
    assert len(files()) == 4 + 2 * 8
    assert all(path.stat().st_mode & 0o077 == 0 for path in files())


def test_the_members_look_at_a_clips_frames_in_order(cast: Cast) -> None:
    observation = opened(cast.household).observation
    seen = frames_of(observation)
    assert [(picture.mode, picture.size) for picture in seen] == [("RGB", (320, 240))] * 8
    kept = [picture_in(frame.shown) for frame in observation.media.frames.all()]
    assert [picture.tobytes() for picture in seen] == [picture.tobytes() for picture in kept]


def test_the_members_look_at_a_photo_itself(cast: Cast) -> None:
    observation = open_case(site=cast.clinic, data=photo()).case.observation
    (seen,) = frames_of(observation)
    assert seen.tobytes() == picture_in(observation.media.shown).tobytes()
    assert not Frame.objects.exists()
    assert not observation.media.clip
    assert len(files()) == 3


@pytest.mark.parametrize("broken", ["inference.models.Frame.save", "inference.models.Media.save"])
def test_a_full_disk_leaves_nothing_of_a_clip_behind(cast: Cast, broken: str) -> None:
    with patch(broken, side_effect=OSError(28, "No space left")), pytest.raises(DiskFull):
        opened(cast.household)
    assert not Observation.objects.exists()
    assert not files()


def test_a_failure_after_all_is_stored_leaves_nothing_of_a_clip_behind(cast: Cast) -> None:
    failure = patch("triage.services.intake.open_run", side_effect=RuntimeError)
    with failure, pytest.raises(RuntimeError):
        opened(cast.household)
    assert not Media.objects.exists()
    assert not Frame.objects.exists()
    assert not files()


def test_the_files_of_others_stay_when_one_is_forgotten(cast: Cast) -> None:
    open_case(site=cast.clinic, data=photo())
    failure = patch("triage.services.intake.open_run", side_effect=RuntimeError)
    with failure, pytest.raises(RuntimeError):
        opened(cast.household)
    assert len(files()) == 3


# Every door ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["mp4", "avi", "mov", "gif"])
@pytest.mark.parametrize("name", ["clinician", "caregiver"])
def test_a_clip_comes_in_by_hand(cast: Cast, name: str, format_: str) -> None:
    sent = SimpleUploadedFile(f"clip.{format_}", moving(format_))
    html = signed(getattr(cast, name)).post(reverse("upload"), {"files": [sent]}).content.decode()
    case = Case.objects.get()
    assert url("case", case) in html
    assert case.observation.media.clip


def test_a_clip_comes_in_from_a_camera(cast: Cast) -> None:
    secret = issue_token(site=cast.household, name="hall")
    sent = {"file": SimpleUploadedFile("clip.mp4", moving(), "video/mp4")}
    bearer = {"Authorization": f"Bearer {secret}"}
    answer = Client().post(reverse("api-observations"), sent, headers=bearer)
    assert answer.status_code == 201
    assert Case.objects.get().observation.media.frames.count() == 8


def test_the_same_clip_twice_is_one_case(cast: Cast) -> None:
    first = open_case(site=cast.household, data=moving())
    second = open_case(site=cast.household, data=moving())
    assert (second.created, second.case) == (False, first.case)
    assert len(files()) == 20


def test_a_damaged_clip_leaves_nothing_behind(cast: Cast) -> None:
    with pytest.raises(Refused) as caught:
        open_case(site=cast.household, data=moving()[:-100])
    assert caught.value.code == "truncated"
    assert not Observation.objects.exists()
    assert not files()


def test_the_doors_say_what_they_take(cast: Cast) -> None:
    page = signed(cast.caregiver).get(reverse("upload")).content.decode()
    assert "Send a photo or clip" in page
    assert "clips of up to 60 seconds" in page
    assert "video/mp4" in page
    schema = Client().get(reverse("api-schema")).content.decode()
    assert "animated GIF" in schema
    assert "Seconds a clip lasts" in schema


def test_the_api_says_how_long_a_clip_lasts(cast: Cast) -> None:
    case = opened(cast.household)
    answer = signed(cast.caregiver).get(reverse("api-case", args=[case.pk])).json()
    assert answer["duration_s"] == pytest.approx(2.0, abs=0.11)


# Who sees it --------------------------------------------------------------------------------------


# Of another site; an administrator of the own one could break the glass, and so is refused (403).
ELSEWHERE = ("clinician", "colleague", "administrator")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("where", ["clinic", "household"])
def test_only_those_who_may_are_shown_any_part_of_a_clip(
    cast: Cast, route: str, where: str
) -> None:
    case = opened(getattr(cast, where))
    seen = {
        "clinic": {"clinician": 200, "colleague": 200, "caregiver": 404},
        "household": {"caregiver": 200, **dict.fromkeys(ELSEWHERE, 404)},
    }[where]
    for name in PEOPLE:
        wanted = seen.get(name, 404 if name == "outsider" else 403)
        assert signed(getattr(cast, name)).get(url(route, case)).status_code == wanted, name
    assert signed(None).get(url(route, case)).status_code == 302


@pytest.mark.parametrize("route", ROUTES)
def test_every_part_is_kept_by_nobody(cast: Cast, route: str) -> None:
    answer = signed(cast.caregiver).get(url(route, opened(cast.household)))
    assert answer.headers["Content-Type"] == ("video/mp4" if route == "clip" else "image/jpeg")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "inline"


def test_a_photo_has_no_clip_and_a_clip_no_ninth_frame(cast: Cast) -> None:
    client = signed(cast.clinician)
    still = open_case(site=cast.clinic, data=photo()).case
    assert client.get(url("clip", still)).status_code == 404
    assert client.get(url("frame", still)).status_code == 404
    for position in (8, 10**30):
        case = opened(cast.clinic)
        assert client.get(url("frame", case, position)).status_code == 404
        assert client.get(url("frame-thumbnail", case, position)).status_code == 404


def test_each_frame_is_its_own(cast: Cast) -> None:
    case, client = opened(cast.clinic), signed(cast.clinician)
    for frame in case.observation.media.frames.all():
        shown = client.get(url("frame", case, frame.position)).content
        small = client.get(url("frame-thumbnail", case, frame.position)).content
        assert (shown, small) == (stored(frame.shown), stored(frame.thumbnail))


def test_a_file_that_is_gone_is_not_found(cast: Cast) -> None:
    case = opened(cast.clinic)
    for path in files():
        path.unlink()
    for route in ROUTES:
        assert signed(cast.clinician).get(url(route, case)).status_code == 404


def test_looking_at_a_clip_is_written_down_once_and_kept_out_of_the_history(cast: Cast) -> None:
    case, client = opened(cast.clinic), signed(cast.clinician)
    client.get(url("clip", case), headers={"Range": "bytes=0-99"})
    client.get(url("clip", case), headers={"Range": "bytes=100-"})
    client.get(url("frame", case))
    looks = AuditEvent.objects.filter(case=case, actor=cast.clinician)
    assert sorted(looks.values_list("verb", flat=True)) == ["clip seen", "photo seen"]
    assert "clip seen" not in client.get(url("case", case)).content.decode()


def test_whoever_skips_the_first_byte_has_looked_too(cast: Cast) -> None:
    case, client = opened(cast.clinic), signed(cast.clinician)
    for wanted in ("bytes=999999999-", "bytes=1-", "bytes=100-"):
        client.get(url("clip", case), headers={"Range": wanted})
    assert AuditEvent.objects.filter(case=case, verb="clip seen").count() == 1


# Piece by piece -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "piece"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-", slice(0, None)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=10-999999999", slice(10, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-999999999", slice(0, None)),
    ],
)
def test_a_browser_gets_the_piece_it_asks_for(cast: Cast, wanted: str, piece: slice) -> None:
    case = opened(cast.clinic)
    whole = stored(case.observation.media.clip)
    answer = signed(cast.clinician).get(url("clip", case), headers={"Range": wanted})
    start, end, _ = piece.indices(len(whole))
    assert answer.status_code == 206
    assert answer.content == whole[piece]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=999999999-", "bytes=-0"])
def test_a_piece_that_is_not_there_is_said_so(cast: Cast, wanted: str) -> None:
    case = opened(cast.clinic)
    size = case.observation.media.clip.size
    answer = signed(cast.clinician).get(url("clip", case), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=-"},
        {"Range": "bytes=5-2"},
        {"Range": "bytes=0-1,4-5"},
        {"Range": "lines=0-1"},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"Range": "bytes=0-1", "If-Range": '"some-other-version"'},
    ],
)
def test_what_cannot_be_cut_comes_whole(cast: Cast, headers: dict[str, str]) -> None:
    case = opened(cast.clinic)
    answer = signed(cast.clinician).get(url("clip", case), headers=headers)
    assert answer.status_code == 200
    assert answer.content == stored(case.observation.media.clip)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in answer.headers


# Pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "where"), [("clinician", "clinic"), ("caregiver", "household")])
def test_the_page_of_a_clip_plays_it_and_shows_what_was_judged(
    cast: Cast, name: str, where: str
) -> None:
    case = opened(getattr(cast, where))
    page = signed(getattr(cast, name)).get(url("case", case))
    html = page.content.decode()
    video = html[html.index("<video") : html.index("</video>")]
    assert f'src="{url("clip", case)}"' in video
    assert f'poster="{url("photo", case)}"' in video
    for word in ("controls", "muted", "playsinline", 'preload="metadata"', "aria-label"):
        assert word in video
    assert "autoplay" not in video
    for frame in case.observation.media.frames.all():
        assert f'href="{url("frame", case, frame.position)}" data-at="{frame.at_s:.3f}"' in html
        assert url("frame-thumbnail", case, frame.position) in html
    assert html.index("<video") < html.index('id="summary"')
    assert "data-zoom" in html and "js/clip.js" in html and "js/photo.js" in html
    assert "media-src 'self'" in page.headers["Content-Security-Policy"]


def test_the_page_says_what_a_member_said_of_each_frame_and_which_speaks(cast: Cast) -> None:
    case = opened(cast.household)
    run = case.observation.runs.get()
    times = [one.at_s for one in case.observation.media.frames.all()]
    MemberJob.objects.update_or_create(run=run, member="one", defaults={"sent_at": timezone.now()})
    add_answer(run, "one", "fall", "fall", 0.3)
    trace = run.traces.get(stage="analysis")
    frames = [{"label": "person"}, {"label": "fall"}, {"label": "", "error": "cut off", "raw": "{"}]
    trace.fields |= {"frames": frames, "frame": 1}
    words = said.Words({"fall": "A fall", "person": "A person"}, times)
    view = said._trace(trace, "fall", words, ())
    assert view is not None
    assert [(one.at_s, one.label_title, one.spoke) for one in view.frames] == [
        (times[0], "A person", False),
        (times[1], "A fall", True),
        (times[2], "", False),
    ]
    html = render_to_string("_member.html", {"member": member_row(view)})
    told = html[html.index("frames-said") :]
    assert told.index("A person") < told.index("A fall") < told.index("this frame speaks")
    assert "no answer" in told
    assert said._trace(run.traces.get(stage="reflection"), "fall", words, ()).frames == ()  # type: ignore[union-attr]


def test_who_reads_a_clip_blind_is_not_told_which_frame_speaks(cast: Cast) -> None:
    Site.objects.filter(pk=cast.clinic.pk).update(blind_share=1.0)
    make_policy(cast.clinic)
    site = Site.objects.get(pk=cast.clinic.pk)
    case = make_case(site, ("Burns", "Cut", "Cut"), finish=False)
    media, run = case.observation.media, case.observation.runs.get()
    Media.objects.filter(pk=media.pk).update(clip="clip", duration_s=2.0)
    for position in range(2):
        Frame.objects.create(
            media=media, position=position, at_s=position, shown="shown", thumbnail="thumbnail"
        )
    for trace in run.traces.filter(stage="analysis"):
        frames = [{"label": "Cut"}, {"label": "Burns"}]
        trace.fields |= {"frames": frames, "frame": 1}
        trace.save(update_fields=["fields"])
    finish_run(run_id=run.pk)
    client = signed(cast.clinician)
    pages = [url("case", case), reverse("api-case", args=[case.pk])]
    lease = queue.claim(case=Case.objects.get(pk=case.pk), user=cast.clinician)
    before = [client.get(page).content.decode() for page in pages]
    assert url("frame", case, 1) in before[0]
    for told in ("frames-said", "this frame speaks", "thinks", "alpha", "disagree"):
        assert not any(told in html for html in before), told
    assert not any(word in before[1] for word in ('"frame"', '"frames"'))
    held = Case.objects.get(pk=case.pk)
    reviews.submit_review(
        case=held, token=lease.token, user=cast.clinician, label="Cut", version=held.version
    )
    assert "this frame speaks" in client.get(pages[0]).content.decode()


def member_row(view: said.TraceView) -> said.MemberRow:
    return said.MemberRow("one", "done", "", "", (None, view, None), "A fall", "A fall")


def test_the_page_of_a_photo_has_no_video(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    html = signed(cast.clinician).get(url("case", case)).content.decode()
    assert "<video" not in html and "js/clip.js" not in html
    assert "data-zoom" in html and "js/photo.js" in html


@pytest.mark.parametrize("where", ["clinic", "household"])
def test_a_list_marks_its_clips_in_words(
    cast: Cast, where: str, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    site, mark = getattr(cast, where), "#clip"
    client = signed(cast.clinician if where == "clinic" else cast.caregiver)
    pages = ["cases", "queue" if where == "clinic" else "household"]
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        open_case(site=site, data=photo())
    assert not any(mark in client.get(reverse(page)).content.decode() for page in pages)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        opened(site)
    for page in pages:
        html = client.get(reverse(page)).content.decode()
        assert html.count(f'{mark}"/></svg>clip</span>') == 1
        assert html.count("data-photo") == 2


def test_a_stored_frame_is_upright_and_plain(cast: Cast) -> None:
    case = open_case(
        site=cast.household, data=clips.clip(clips.turned_halves(), codec="mpeg4", turned=-90)
    ).case
    picture = frames_of(case.observation)[0]
    assert picture.size == (96, 160)
    red, _, blue = picture.getpixel((48, 10))  # type: ignore[misc]
    assert red > blue
    data = stored(case.observation.media.frames.all()[0].shown)
    assert not Image.open(io.BytesIO(data)).getexif()
