"""Claims about `serve` and `demo`: they start on anything, say where, and leave nothing behind."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx

from sensorcast.cli import server


async def _start(*arguments: str, folder: Path, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorcast", *arguments),
        cwd=folder,
        env={"TMPDIR": str(folder), "PATH": "", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _stop(process: asyncio.subprocess.Process) -> tuple[int | None, bytes, bytes]:
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode, out, err


async def _announced(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Give the address and the token that the demo prints."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if found := re.search(r"(http://\S+)/#token=(\S+)", line.decode()):
                return found[1], found[2]
    raise AssertionError("the demo printed no link")


async def test_the_demo_fills_a_day_of_history_goes_on_live_and_cleans_up(tmp_path: Path) -> None:
    process = await _start("demo", "--port", "0", "--units", "3", "--every", "0.5", folder=tmp_path)
    url, token = await _announced(process)
    path, headers = f"{url}/api/orgs/demo/units", {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers) as client, asyncio.timeout(60):
        while True:
            units = (await client.get(path)).json()["units"]
            if units and time.time() - datetime.fromisoformat(units[0]["latest"]["recordedAt"]).timestamp() < 2:
                break
            await asyncio.sleep(0.1)
        history = (await client.get(f"{path}/{units[0]['unitId']}/readings", params={"limit": 5_000})).json()
    assert len(history["readings"]) > 1_400
    assert len(units) == 3
    code, _, err = await _stop(process)
    assert (code, err) == (0, b"")
    assert list(Path(tmp_path).iterdir()) == []


async def test_the_demo_finds_another_port_when_its_own_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = await _start("demo", "--units", "1", folder=tmp_path, SENSORCAST_PORT=port)
        url, _ = await _announced(process)
    assert not url.endswith(f":{port}")
    assert (await _stop(process))[0] == 0


async def test_the_demo_touches_no_database_and_no_cluster_that_the_environment_names(tmp_path: Path) -> None:
    real = {
        "SENSORCAST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/real",
        "SENSORCAST_REDIS_URL": "redis://127.0.0.1:1",
        "SENSORCAST_NODE_EXCHANGE": "true",
        "SENSORCAST_WORKERS": "2",
    }
    process = await _start("demo", "--port", "0", "--units", "1", folder=tmp_path, **real)
    url, token = await _announced(process)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.get(f"{url}/api/orgs/demo/units")).status_code == 200
        assert (await client.get(f"{url}/readyz")).status_code == 200
    assert (await _stop(process))[0] == 0


async def test_serve_on_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await _start("serve", "--port", str(taken.getsockname()[1]), folder=tmp_path)
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert err.startswith(b"sensorcast: ")
    assert err.count(b"\n") == 1


def test_the_announcement_holds_a_login_link(capsys):
    server._announcement("t.o.k", 24, "/somewhere")("http://127.0.0.1:8080")
    assert "http://127.0.0.1:8080/#token=t.o.k" in capsys.readouterr().out
