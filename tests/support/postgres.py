"""A PostgreSQL server of the tests' own: its data folder, its port, no rights beyond those of an ordinary user.

Uses the programs of Debian's package `postgresql`, wherever its version puts them; nothing of the system's own server.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.ports import free_port

_USER = "sensorcast"


def programs() -> Path:
    """Find the folder of `initdb` and `pg_ctl`, the newest version's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    path = shutil.which("pg_ctl")
    assert path, "PostgreSQL is not installed; run tools/setup dev"
    return Path(path).resolve().parent


@dataclass
class PostgresServer:
    """One server. `start` it; `new_database` gives empty databases."""

    folder: Path
    port: int = field(default_factory=free_port)
    network: str = ""
    """Besides the loopback interface it listens here; the first address of a /24 network, all of which it trusts."""

    def create(self) -> PostgresServer:
        """Make the data folder and start."""
        self.folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam("nobody")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        settings = {
            "port": self.port,
            "listen_addresses": f"'{','.join(filter(None, ('127.0.0.1', self.network)))}'",
            "unix_socket_directories": "''",
            "shared_buffers": "64MB",
            "max_connections": 60,
            "max_wal_size": "1GB",
        }
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
        if self.network:
            with (self.data / "pg_hba.conf").open("a") as trusted:
                trusted.write(f"host all all {self.network}/24 trust\n")
        self.start()
        return self

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._control("start", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop; `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start; `immediate` is a crash followed by recovery."""
        self._control("restart", "-m", mode, "-l", str(self.folder / "log"))

    def url(self, schema: str = "public") -> str:
        """Give the address of the database, with everything in one schema."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres?search_path={schema}"

    async def new_database(self) -> str:
        """Give the address of an empty schema: as good as a database of its own, and made in no time."""
        schema = f"test_{uuid.uuid4().hex}"
        await self._execute(f"CREATE SCHEMA {schema}")
        return self.url(schema)

    async def _execute(self, sql: str) -> Any:
        connection = await asyncpg.connect(self.url())
        try:
            return await connection.execute(sql)
        finally:
            await connection.close()

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments, "-w", "-t", "30", "-s")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(programs() / program), "-D", str(self.data), *arguments]
        unprivileged: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            unprivileged = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        # A file rather than a pipe: the server inherits it and would hold a pipe open for ever.
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **unprivileged
            )
        assert done.returncode == 0, (self.folder / "output").read_text()
