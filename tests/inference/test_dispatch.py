"""Messages are hints: their names must be right, and a broker that is down must cost nothing."""

from pathlib import Path
from unittest.mock import patch

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from inference import dispatch
from triage.services.asking import PUSH_ASK
from triage.services.reviews import LEARN, PUSH_SETTLED


@pytest.mark.parametrize("name", [dispatch.EXECUTE_MEMBER, LEARN, PUSH_ASK, PUSH_SETTLED])
def test_the_tasks_that_messages_name_exist(name: str) -> None:
    current_app.loader.import_default_modules()
    assert name in current_app.tasks


@pytest.mark.parametrize("error", [ConnectionRefusedError(), OSError("gone")])
def test_a_broker_that_is_down_is_survived(error: Exception) -> None:
    with patch.object(current_app, "send_task", side_effect=error):
        assert dispatch.hint(dispatch.EXECUTE_MEMBER, 1, queue="member.alpha") is False


def test_each_member_has_a_queue_of_its_own() -> None:
    assert dispatch.queue_name("alpha") != dispatch.queue_name("beta")


def test_a_broker_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    """Kombu's own retries take six seconds, three times after each answer."""
    with (
        current_app.connection(f"redis+socket://{tmp_path}/none.sock") as nobody,
        patch("kombu.utils.functional.sleep") as slept,
        pytest.raises(OperationalError),
    ):
        current_app.send_task(dispatch.EXECUTE_MEMBER, (1,), queue="x", connection=nobody)
    slept.assert_not_called()
