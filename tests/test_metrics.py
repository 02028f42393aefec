"""The metrics table: documented, prefixed, and without labels that grow with use."""

from __future__ import annotations

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from sensorcast import metrics

TABLE = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
LABELS_WITH_FEW_VALUES = {"status", "outcome", "transport", "reason", "bound", "state"}


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
