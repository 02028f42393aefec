"""The metrics table: documented, prefixed, and without labels that grow with use."""

from __future__ import annotations

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from sensorcast import metrics

TABLE = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
LABELS_WITH_FEW_VALUES = {"status", "outcome", "transport", "reason", "bound", "cap", "state"}


@pytest.mark.parametrize("name", TABLE)
def test_metric_is_documented_under_our_prefix(name):
    [family] = TABLE[name].describe()
    assert family.name.startswith("sensorcast_")
    assert family.documentation.endswith(".")


@pytest.mark.parametrize("name", TABLE)
def test_labels_have_few_values(name):
    assert set(TABLE[name]._labelnames) <= LABELS_WITH_FEW_VALUES


def test_rendered_text_is_what_prometheus_parses():
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {metric.describe()[0].name for metric in TABLE.values()} <= families


PAGE = b"""# HELP a_total Some a.
# TYPE a_total counter
a_total{x="{y} z"} 1.0
# HELP b Some b.
# TYPE b histogram
b_bucket{le="+Inf"} %d
b_sum 2.5
# HELP sensorcast_workers_answered Workers.
# TYPE sensorcast_workers_answered gauge
sensorcast_workers_answered 9.0
"""


def test_pages_of_several_workers_are_merged_by_family_and_tell_the_worker():
    other = b"# HELP a_total Some a.\n# TYPE a_total counter\n# HELP c Only there.\n# TYPE c gauge\nc 7.0\n"
    assert metrics.merge({0: PAGE % 4, 2: other, 1: PAGE % 5}).decode().splitlines() == [
        "# HELP a_total Some a.",
        "# TYPE a_total counter",
        'a_total{worker="0",x="{y} z"} 1.0',
        'a_total{worker="1",x="{y} z"} 1.0',
        "# HELP b Some b.",
        "# TYPE b histogram",
        'b_bucket{worker="0",le="+Inf"} 4',
        'b_sum{worker="0"} 2.5',
        'b_bucket{worker="1",le="+Inf"} 5',
        'b_sum{worker="1"} 2.5',
        "# HELP sensorcast_workers_answered Workers.",
        "# TYPE sensorcast_workers_answered gauge",
        "sensorcast_workers_answered 3",
        "# HELP c Only there.",
        "# TYPE c gauge",
        'c{worker="2"} 7.0',
    ]


def test_merged_text_is_what_prometheus_parses():
    page = metrics.merge(dict.fromkeys(range(3), metrics.render())).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert {sample.labels["worker"] for sample in families["sensorcast_flush_readings"].samples} == {"0", "1", "2"}
    assert [sample.value for sample in families["sensorcast_workers_answered"].samples] == [3.0]
