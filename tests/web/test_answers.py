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


def test_use_of_another_worker_is_added_and_what_it_holds_is_not() -> None:
    usage = answers.Usage(requests=1, readings=2, outbound_bytes=3, refused=4, subscriptions=5)
    flush = answers.Flush(readings=1, units=1, duration_ms=1.0)
    one = answers.Stats(buffered_readings=1, cached_units=2, buffer_keys=3, connections=4, usage=usage, flush=flush)
    two = one.with_use_of(one)
    assert (two.connections, two.usage) == (8, answers.Usage(2, 4, 6, 8, 10))
    assert (two.buffered_readings, two.cached_units, two.flush) == (1, 2, flush)
