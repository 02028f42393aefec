"""The settings of the cluster, made into its parts."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sensorcast.cluster.joining import bus_codec, open_bus, own_node
from sensorcast.cluster.local import LocalBus
from sensorcast.cluster.redis import RedisBus
from sensorcast.cluster.worker import ALONE, Worker
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings
from sensorcast.wire.bus import Beat, Refused

SECRET = b"a secret of more than thirty-two bytes"
BEAT = Beat(channel="beats", origin="a", epoch=1, number=1, sent_us=9, name="n")


def test_with_redis_it_is_the_bus_and_without_it_the_workers_have_their_own() -> None:
    assert isinstance(open_bus(Settings(redis_url="redis://127.0.0.1:1/0"), ALONE), RedisBus)
    assert isinstance(open_bus(Settings(), ALONE), LocalBus)
    assert isinstance(open_bus(Settings(), Worker(index=1, count=2, folder=Path("x"))), LocalBus)


def test_a_wrong_address_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="redis_url"):
        open_bus(Settings(redis_url="localhost:6379"), ALONE)


def test_a_node_is_called_what_its_settings_say_or_after_its_machine_and_process() -> None:
    assert own_node(Settings(node_name="here"), ALONE, 5).name == "here"
    assert own_node(Settings(), ALONE, 5).name == f"{socket.gethostname()}:{os.getpid()}"
    assert own_node(Settings(node_name="here"), Worker(index=3, count=4), 5).name == "here/3"
    assert len(own_node(Settings(node_name="x" * 500), ALONE, 5).name) == 100


def test_two_processes_of_one_name_are_told_apart() -> None:
    origins = {own_node(Settings(node_name="here"), ALONE, 5).origin for _ in range(100)}
    assert len(origins) == 100


def test_nodes_of_one_secret_and_prefix_understand_each_other_and_no_others_do() -> None:
    message = bus_codec(Settings(), SECRET).encode_beat(BEAT)
    assert bus_codec(Settings(), SECRET).decode("beats", message) == Beat(
        channel="beats", origin="a", epoch=1, number=1, sent_us=9, name="n"
    )
    for other in (bus_codec(Settings(redis_prefix="other"), SECRET), bus_codec(Settings(), SECRET + b"!")):
        with pytest.raises(Refused, match="forged"):
            other.decode("beats", message)
