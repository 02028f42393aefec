"""Two nodes as two hosts, one of which can be cut off from the other, from PostgreSQL and from Redis.

Real hosts as far as the kernel goes, each in a network namespace of its own with a cable that can be pulled, where the
machine allows it (root, or its network rights); proxies that swallow everything where it does not. The clients of a
node that is cut off still reach it. Whatever is made in the kernel has a name of its own and is removed in any case.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.blackhole import Blackhole
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import ServerProcess
from tests.support.two_nodes import TwoNodes, shared_settings

NAMES = ("one", "two")


@dataclass
class Distance:
    """The nodes, the second of which is cut off by `cut` until `mend`."""

    how: str
    cluster: TwoNodes
    cut: Callable[[], None]
    mend: Callable[[], None]


def namespaces_allowed() -> bool:
    """Whether this process may make hosts of its own."""
    if shutil.which("ip") is None:
        return False
    try:
        with ExitStack() as made:
            _add_hosts(made)
    except PermissionError:
        return False
    return True


@contextmanager
def by_namespaces(folder: Path, **more: object) -> Iterator[Distance]:
    """Two hosts on one switch, with PostgreSQL and Redis on this one; a second cable leads to each one's clients."""
    with ExitStack() as made:
        hosts = _add_hosts(made)
        settings = _servers(made, folder, network=hosts.switch_address) | {"host": "0.0.0.0"} | more
        nodes = [
            ServerProcess(
                folder / name,
                {**settings, "node_name": name},
                program=("ip", "netns", "exec", hosts.namespace(name), sys.executable, "-m", "sensorcast"),
                host=hosts.client_address(name),
            )
            for name in NAMES
        ]
        cable = hosts.cable("two")

        def cut() -> None:
            _ip(f"link set {cable} down")

        def mend() -> None:
            _ip(f"link set {cable} up")

        yield Distance("network namespaces", _start(made, nodes), cut, mend)


@contextmanager
def by_proxies(folder: Path, **more: object) -> Iterator[Distance]:
    """Two nodes of this host, of which the second one reaches PostgreSQL and Redis through proxies."""
    with ExitStack() as made:
        settings = _servers(made, folder) | more
        places = {name: urlsplit(str(settings[name])) for name in ("database_url", "redis_url")}
        proxies = {name: made.enter_context(Blackhole(place.port or 0)) for name, place in places.items()}
        through = {
            name: str(settings[name]).replace(f":{place.port}/", f":{proxies[name].own_port}/")
            for name, place in places.items()
        }
        nodes = [
            ServerProcess(folder / name, {**settings, **addresses, "node_name": name})
            for name, addresses in zip(NAMES, ({}, through), strict=True)
        ]

        def cut() -> None:
            for proxy in proxies.values():
                proxy.swallow()

        def mend() -> None:
            for proxy in proxies.values():
                proxy.pass_on()

        yield Distance("proxies", _start(made, nodes), cut, mend)


class _Hosts:
    """Two namespaces on a bridge, each with a second cable to this host; all names end in the same few letters."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(3)
        self._net = secrets.randbelow(80) * 3
        self.switch = f"sc-{self._tag}"

    @property
    def switch_address(self) -> str:
        """This host on the switch, in a network that is kept for tests of networks (RFC 2544)."""
        return f"198.18.{self._net}.1"

    def namespace(self, name: str) -> str:
        return f"sensorcast-{self._tag}-{name}"

    def cable(self, name: str) -> str:
        """This host's end of the cable between the switch and a namespace."""
        return f"sc-{self._tag}-{name}"

    def client_address(self, name: str) -> str:
        """Where a namespace is reached over its second cable."""
        return f"198.18.{self._net + 1 + NAMES.index(name)}.2"

    def commands(self, name: str) -> list[str]:
        """Connect a namespace that is there."""
        space, cable, second = self.namespace(name), self.cable(name), f"sd-{self._tag}-{name}"
        ours = self.client_address(name).removesuffix("2") + "1"
        own = f"198.18.{self._net}.{11 + NAMES.index(name)}"
        return [
            f"-n {space} link set lo up",
            f"link add {cable} type veth peer name switch netns {space}",
            f"link set {cable} master {self.switch} up",
            f"-n {space} addr add {own}/24 dev switch",
            f"-n {space} link set switch up",
            f"link add {second} type veth peer name clients netns {space}",
            f"addr add {ours}/24 dev {second}",
            f"link set {second} up",
            f"-n {space} addr add {self.client_address(name)}/24 dev clients",
            f"-n {space} link set clients up",
        ]


def _add_hosts(made: ExitStack) -> _Hosts:
    hosts = _Hosts()
    _ip(f"link add {hosts.switch} type bridge")
    made.callback(_ip, f"link del {hosts.switch}")
    _ip(f"addr add {hosts.switch_address}/24 dev {hosts.switch}")
    _ip(f"link set {hosts.switch} up")
    for name in NAMES:
        _ip(f"netns add {hosts.namespace(name)}")
        made.callback(_ip, f"netns del {hosts.namespace(name)}")  # takes its cables with it
        for command in hosts.commands(name):
            _ip(command)
    return hosts


def _ip(command: str) -> None:
    """Run `ip`. Raises `PermissionError`, whatever it was that the kernel did not like."""
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"ip {command}: {done.stderr}")


def _servers(made: ExitStack, folder: Path, *, network: str = "") -> dict[str, object]:
    """Start PostgreSQL and Redis, and give the settings that name them."""
    # Not below pytest's folders: those are closed to the unprivileged user that PostgreSQL runs as.
    postgres_folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="sensorcast-postgres-")))
    postgres = PostgresServer(postgres_folder, network=network).create()
    made.callback(postgres.stop, "immediate")
    options = ("--bind", "127.0.0.1", network, "--protected-mode", "no") if network else ()
    redis = RedisServer(folder / "redis", options).start()
    made.callback(redis.stop)
    settings = shared_settings(asyncio.run(postgres.new_database()), redis.url)
    place = network or "127.0.0.1"
    return settings | {name: str(settings[name]).replace("127.0.0.1", place) for name in ("database_url", "redis_url")}


def _start(made: ExitStack, nodes: list[ServerProcess]) -> TwoNodes:
    cluster = TwoNodes(nodes)
    made.callback(cluster.close)
    for node in nodes:
        node.start()
    return cluster
