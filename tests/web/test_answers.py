"""Claims about the shapes of answers."""

from __future__ import annotations

from sensorcast.web import answers


def test_names_go_out_in_camel_case_and_absent_fields_are_left_out() -> None:
    assert answers.json_response(answers.ReadingList(readings=[])).body == b'{"readings":[]}'
    assert answers.json_response(answers.ReadingList(readings=[], next_cursor="x")).body == (
        b'{"readings":[],"nextCursor":"x"}'
    )


def test_a_response_carries_its_status_and_type() -> None:
    response = answers.json_response(answers.Readiness(ready=False, reasons=["full"]), status=503)
    assert (response.status_code, response.media_type) == (503, "application/json")
