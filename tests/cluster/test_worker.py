"""Which worker a session id belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorcast.cluster.worker import ALONE, Worker, check_folder
from sensorcast.errors import ConfigurationError


def test_a_worker_alone_marks_nothing_and_knows_no_other() -> None:
    assert (ALONE.sid_prefix, ALONE.others, ALONE.owner("0.abc"), ALONE.is_first) == ("", (), None, True)


def test_workers_know_their_own_ids_and_those_of_the_others() -> None:
    worker = Worker(index=1, count=12, folder=Path("/private"))
    assert worker.sid_prefix == "1."
    assert worker.owner("1.abc") is None
    assert worker.owner("11.abc") == 11
    assert not worker.is_first
    assert Worker(index=1, count=3).others == (0, 2)


@pytest.mark.parametrize(
    "sid",
    ["", ".", "abc", "0", "12.a", "-1.a", " 0.a", "0x1.a", "0000.a", "٣.a", "².a", "../0.a", "1/../0.a", "1e0.a"],
)
def test_an_id_that_is_of_no_worker_leads_nowhere(sid: str) -> None:
    assert Worker(index=1, count=12).owner(sid) is None


def test_sockets_are_in_the_folder_of_the_workers() -> None:
    worker = Worker(index=0, count=2, folder=Path("/private"))
    assert worker.http_path(1) == Path("/private/http-1")
    assert worker.handover_path(1) == Path("/private/handover-1")


def test_a_folder_must_have_room_for_the_names_of_sockets() -> None:
    check_folder(Path("/tmp/sensorcast-12345678"))
    with pytest.raises(ConfigurationError, match="too long a name"):
        check_folder(Path("/" + "x" * 100))
