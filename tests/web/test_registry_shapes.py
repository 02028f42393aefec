"""Claims about the bodies and answers of the registry: nothing that names an organization can be given."""

from __future__ import annotations

import msgspec
import pytest

from sensorcast import model
from sensorcast.web import registry_shapes as shapes

BODIES = (shapes.OrganizationChange, shapes.SiteDescription, shapes.UnitDescription, shapes.DeviceDescription)


@pytest.mark.parametrize("body", BODIES)
def test_a_body_holds_neither_organization_nor_time(body: type[msgspec.Struct]) -> None:
    assert not {"organization_id", "created_at_us", "created_at"} & set(body.__struct_fields__)


def test_what_is_not_registered_is_answered_with_empty_fields() -> None:
    assert shapes.organization("acme", None).name == ""
    unit = shapes.unit("u", None, None)
    assert (unit.name, unit.site_id, unit.latest, unit.created_at) == ("", None, None, None)
    assert b'"latest":null' in msgspec.json.encode(unit)


def test_a_device_is_answered_with_its_unit() -> None:
    device = model.Device(organization_id="acme", device_id="tx", created_at_us=0, unit_id="u", name="Probe")
    shown = shapes.device(device)
    assert (shown.device_id, shown.unit_id, shown.created_at) == ("tx", "u", "1970-01-01T00:00:00.000000Z")
