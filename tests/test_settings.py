"""Settings: flag before variable before default, and nothing out of bounds."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings, load

ROWS = dataclasses.fields(Settings)


def test_without_anything_the_defaults_hold():
    assert load({}, {}) == Settings()


def test_variable_wins_over_default_and_flag_over_variable():
    environ = {"SENSORCAST_PORT": "9000", "SENSORCAST_FLUSH_INTERVAL_MS": "250"}
    loaded = load({"port": "9001"}, environ)
    assert (loaded.port, loaded.flush_interval_ms) == (9001, 250)


def test_flag_that_is_none_counts_as_not_given():
    assert load({"port": None}, {"SENSORCAST_PORT": "9000"}).port == 9000


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_setting_says_what_it_is_and_has_a_default_in_bounds(row):
    assert row.metadata["doc"].endswith((".", "`"))
    assert getattr(load({row.name: row.default}, {}), row.name) == row.default


@pytest.mark.parametrize("row", [row for row in ROWS if row.metadata["low"] is not None], ids=lambda row: row.name)
def test_value_below_its_bound_is_refused_by_name(row):
    with pytest.raises(ConfigurationError, match=f"SENSORCAST_{row.name.upper()}"):
        load({row.name: row.metadata["low"] - 1}, {})


@pytest.mark.parametrize("row", [row for row in ROWS if row.metadata["high"] is not None], ids=lambda row: row.name)
def test_value_above_its_bound_is_refused_by_name(row):
    with pytest.raises(ConfigurationError, match=f"--{row.name.replace('_', '-')}"):
        load({row.name: row.metadata["high"] + 1}, {})


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "0x10", "nan"])
def test_text_that_is_no_whole_number_is_refused(text):
    with pytest.raises(ConfigurationError, match="must be a int"):
        load({}, {"SENSORCAST_PORT": text})


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False), ("", False)]
)
def test_switches_take_the_usual_words(text, value):
    assert load({}, {"SENSORCAST_PERMESSAGE_DEFLATE": text}).permessage_deflate is value


def test_switch_takes_no_other_word():
    with pytest.raises(ConfigurationError, match="must be true or false"):
        load({}, {"SENSORCAST_PERMESSAGE_DEFLATE": "maybe"})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_bounded_number_that_is_not_finite_is_refused(text):
    with pytest.raises(ConfigurationError):
        load({}, {"SENSORCAST_KEY_CACHE_S": text})


def test_word_that_is_no_choice_is_refused_with_the_choices():
    assert load({}, {"SENSORCAST_LOG_LEVEL": "debug"}).log_level == "debug"
    for text in ("verbose", "INFO", ""):
        with pytest.raises(
            ConfigurationError, match=r"SENSORCAST_LOG_LEVEL\) must be one of debug, info, warning, error"
        ):
            load({}, {"SENSORCAST_LOG_LEVEL": text})


@pytest.mark.parametrize(
    "given",
    [
        {"outbound_soft_bytes": 2_000, "outbound_hard_bytes": 1_999},
        {"outbound_soft_bytes": 2 * 1024 * 1024},
        {"outbound_hard_bytes": 128 * 1024},
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_both_names(given):
    with pytest.raises(ConfigurationError) as refused:
        load(given, {})
    assert len(re.findall(r"\(SENSORCAST_OUTBOUND_\w+_BYTES\)", refused.value.message)) == 2


def test_settings_that_are_bounds_of_each_other_may_be_equal():
    assert load({"outbound_soft_bytes": 2_000, "outbound_hard_bytes": 2_000}, {}).outbound_hard_bytes == 2_000
