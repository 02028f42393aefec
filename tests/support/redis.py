"""A Redis server of the tests' own: its port, nothing kept on disk, and whatever fault a test wants it to have."""

from __future__ import annotations

import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.support.ports import free_port
from tests.support.waiting import wait_until

START_DEADLINE_S = 60.0


def program() -> str:
    """Find `redis-server`."""
    path = shutil.which("redis-server")
    assert path, "Redis is not installed; run tools/setup dev"
    return path


@dataclass
class RedisServer:
    """One server. `start` it; `stop` and `kill` end it, `pause` leaves it deaf and dumb, `start` brings it back."""

    folder: Path
    options: tuple[str, ...] = ()
    """Further arguments of `redis-server`, such as `--requirepass` and its value."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for the setting `redis_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        """Start and wait until it answers."""
        assert self.process is None, "already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    program(),
                    *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                    *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, within_s=START_DEADLINE_S, what="Redis answers")
        return self

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order, if it runs."""
        if self.process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stop its process: connections stay open, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on; harmless to one that runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words: object, **options: Any) -> Any:
        """Run one command on a connection of its own and give the answer; `options` are those of the client."""
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, **options) as client:
            return client.execute_command(*words)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "output.log").read_text()
        try:
            self.command("PING")
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False
        return True

    def _end(self, with_signal: signal.Signals) -> None:
        assert self.process is not None, "not running"
        process, self.process = self.process, None
        process.send_signal(with_signal)
        process.wait(30)


@dataclass
class RedisCluster:
    """A Redis Cluster of three servers."""

    folder: Path
    servers: list[RedisServer] = field(default_factory=list)

    def start(self) -> RedisCluster:
        """Start three servers, share out the slots and wait until all agree."""
        for number in range(3):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "2000")
            self.servers.append(RedisServer(self.folder / f"redis-{number}", options).start())
        places = [f"127.0.0.1:{server.port}" for server in self.servers]
        command = ["redis-cli", "--cluster", "create", *places, "--cluster-yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: all(map(_agrees, self.servers)), within_s=START_DEADLINE_S, what="all slots are shared out")
        return self

    def move_channels(self) -> list[bytes]:
        """Give the slots of all channels that are listened to to the next server; give the names of the channels."""
        moved: list[bytes] = []
        listened = [server.command("PUBSUB", "SHARDCHANNELS") for server in self.servers]
        for place, names in enumerate(listened):
            target = self.servers[(place + 1) % len(self.servers)]
            for name in names:
                slot, node_id = target.command("CLUSTER", "KEYSLOT", name), target.command("CLUSTER", "MYID")
                for server in (target, *(each for each in self.servers if each is not target)):
                    server.command("CLUSTER", "SETSLOT", slot, "NODE", node_id)
                moved.append(name)
        return moved

    @property
    def url(self) -> str:
        """The address of one of the servers: the others are found through it."""
        return self.servers[0].url

    def stop(self) -> None:
        """End all servers."""
        for server in self.servers:
            server.stop()


def _agrees(server: RedisServer) -> bool:
    told = server.command("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_slots_ok:16384" in told
