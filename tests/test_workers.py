"""Several worker processes on one port: started together, restarted alone, stopped together, never left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sensorcast.workers import QUICK_DEATHS_MAX
from tests.conftest import FAST_FLUSH_MS
from tests.support.ports import free_port
from tests.support.server import START_DEADLINE_S, STOP_DEADLINE_S, ServerProcess, reading
from tests.support.waiting import wait_until
from tests.support.workers import client_of, is_running, wait_for_workers, worker_pids

WORKERS = 3
StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Workers for every test that leaves them running."""
    settings = {"workers": WORKERS, "flush_interval_ms": FAST_FLUSH_MS}
    server = ServerProcess(tmp_path_factory.mktemp("workers"), settings).start()
    wait_for_workers(server, WORKERS)
    yield server
    server.close()


def run_serve(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SENSORCAST_")}
    return subprocess.run(
        [sys.executable, "-m", "sensorcast", "serve", "--workers", "2", "--data", str(folder / "data"), *options],
        env=outside,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_connections_are_spread_over_all_workers(shared: ServerProcess) -> None:
    for worker in range(WORKERS):
        with client_of(shared, worker) as http:
            assert http.get("/readyz").json() == {"ready": True, "reasons": []}


def test_each_line_of_the_log_says_its_worker_and_the_port_is_announced_once(shared: ServerProcess) -> None:
    lines = shared.log_lines()
    announced = [line for line in lines if line["event"] == "listening"]
    assert [(line["url"], line["workers"]) for line in announced] == [(shared.url, WORKERS)]
    assert {line["worker"] for line in lines if line["event"] == "worker_listening"} == set(range(WORKERS))


def test_metrics_are_those_of_all_workers_by_family(shared: ServerProcess) -> None:
    page = shared.http.get("/metrics").text
    lines = page.splitlines()
    places = [at for at, line in enumerate(lines) if line.startswith("sensorcast_worker_starts{")]
    assert [lines[at] for at in places] == [f'sensorcast_worker_starts{{worker="{n}"}} 1.0' for n in range(WORKERS)]
    assert places == list(range(places[0], places[0] + WORKERS))
    assert lines.count("# TYPE sensorcast_worker_starts gauge") == 1
    assert f"sensorcast_workers_answered {WORKERS}" in lines


def test_the_use_an_organization_makes_is_that_of_all_workers(shared: ServerProcess) -> None:
    organization = shared.organization()
    for worker in range(WORKERS):
        with client_of(shared, worker) as http:
            body = {"readings": [reading(f"unit-{worker}")]}
            answer = http.post("/api/ingest/readings", json=body, headers={"X-API-Key": organization.key})
            assert answer.status_code == 200, answer.text
    usage = organization.get("/api/stats", role="admin").json()["usage"]
    assert usage["readings"] == WORKERS
    assert usage["requests"] >= WORKERS


def test_what_is_private_to_the_workers_is_not_on_the_port(shared: ServerProcess) -> None:
    organization = shared.organization()
    assert shared.http.get(f"/api/stats/{organization.name}").status_code == 404


def test_a_worker_that_dies_is_started_again_and_the_others_go_on(start_server: StartServer) -> None:
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    first, second = worker_pids(server)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in worker_pids(server), within_s=START_DEADLINE_S, what="the death is noticed")
    assert second in worker_pids(server)
    wait_for_workers(server, 2)
    ended = next(line for line in server.log_lines() if line["event"] == "worker_ended")
    assert (ended["code"], ended["worker"]) == (-signal.SIGKILL, 0)
    assert 'sensorcast_worker_starts{worker="0"} 2.0' in httpx.get(f"{server.url}/metrics").text
    assert server.terminate() == 0


def test_a_worker_told_to_stop_by_somebody_else_is_started_again(start_server: StartServer) -> None:
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    _, second = worker_pids(server)
    os.kill(second, signal.SIGTERM)
    wait_until(lambda: not is_running(second), within_s=STOP_DEADLINE_S, what="it stops")
    wait_for_workers(server, 2)
    assert server.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_to_every_process_is_one_stop_in_good_order(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    assert server.process is not None
    pids = worker_pids(server)
    for pid in pids:
        os.kill(pid, number)  # as a terminal or a service manager does
    server.process.send_signal(number)
    assert server.process.wait(STOP_DEADLINE_S) == 0
    server.process = None
    assert not any(is_running(pid) for pid in pids)
    events = [line["event"] for line in server.log_lines()]
    assert events.count("stopped") == 3
    assert "worker_ended" not in events


def test_workers_stop_in_good_order_when_their_supervisor_is_killed(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    pids = worker_pids(server)
    server.kill()
    wait_until(lambda: not any(map(is_running, pids)), within_s=STOP_DEADLINE_S, what="no worker is left")
    assert [line["event"] for line in server.log_lines()].count("stopped") == 2
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", server.port))
    assert list(temporary.iterdir()) == []


def test_a_worker_that_dies_again_and_again_is_started_again_while_another_is_well(start_server: StartServer) -> None:
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    well = worker_pids(server)[0]

    def kill_the_newest() -> bool:
        for pid in set(worker_pids(server)) - {well}:
            os.kill(pid, signal.SIGKILL)
        return [line["event"] for line in server.log_lines()].count("worker_ended") >= QUICK_DEATHS_MAX

    wait_until(kill_the_newest, within_s=120, what="it dies as often as is put up with of all")
    wait_for_workers(server, 2)
    assert worker_pids(server)[0] == well
    assert server.terminate() == 0


def test_workers_that_all_die_again_and_again_are_given_up(start_server: StartServer) -> None:
    server = start_server(workers=2)
    wait_for_workers(server, 2)
    process = server.process
    assert process is not None

    def kill_them() -> bool:
        if process.poll() is None:
            for pid in worker_pids(server):
                os.kill(pid, signal.SIGKILL)
        return process.poll() is not None

    wait_until(kill_them, within_s=120, what="the supervisor gives up")
    server.process = None
    assert process.returncode == 1
    assert "times in a row within 10 s of its start" in server.output.read_text()


def test_a_mistake_in_the_settings_is_one_line_for_all_workers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sensorcast.db").write_bytes(b"this is no database" * 100)
    done = run_serve(tmp_path, "--port", "0")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("is not a sound SQLite database") == 1
    assert done.stdout == ""


def test_too_long_a_name_of_the_temporary_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / ("x" * 80)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    done = run_serve(tmp_path, "--port", "0")
    assert done.returncode == 2
    assert "(Name a shorter temporary folder in TMPDIR.)" in done.stderr
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_one_line_even_when_it_could_be_shared(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_serve(tmp_path, "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.count(f"cannot listen on 127.0.0.1 port {port}") == 1


def test_any_free_port_is_the_same_for_all_workers_and_secrets_stay_private(tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SENSORCAST_")}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "sensorcast", "serve", "--workers", "2", "--port", "0", "--data", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=outside | {"TMPDIR": str(temporary)}, stderr=log)
    try:
        lines = wait_until(
            lambda: [text for text in (tmp_path / "log").read_text().splitlines() if '"workers": 2' in text],
            within_s=START_DEADLINE_S,
            what="the port is announced",
        )
        assert httpx.get(f"{json.loads(lines[0])['url']}/healthz").status_code == 200
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)
    assert list(temporary.iterdir()) == []


def test_every_worker_that_drains_is_not_ready_and_takes_readings_until_a_second_signal(
    start_server: StartServer,
) -> None:
    server = start_server(workers=2, drain_s=600)
    wait_for_workers(server, 2)
    organization = server.organization()
    process = server.process
    assert process is not None
    process.terminate()
    wait_until(
        lambda: [line["event"] for line in server.log_lines()].count("draining") == 2,
        within_s=STOP_DEADLINE_S,
        what="both drain",
    )
    for worker in range(2):
        with client_of(server, worker) as http:
            answer = http.get("/readyz")
            assert (answer.status_code, answer.json()["reasons"]) == (503, ["the server is shutting down"])
            body = {"readings": [reading(f"unit-{worker}")]}
            assert http.post("/api/ingest/readings", json=body, headers={"X-API-Key": organization.key}).is_success
    assert server.terminate() == 0


def test_a_stop_waits_for_what_is_under_way(start_server: StartServer) -> None:
    server = start_server(workers=2, flush_interval_ms=FAST_FLUSH_MS)
    organization = server.organization()
    organization.post(reading())
    assert server.process is not None
    body = json.dumps({"readings": [reading("late")]}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        head = f"POST /api/ingest/readings HTTP/1.1\r\nHost: a\r\nX-API-Key: {organization.key}\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        time.sleep(0.3)  # so that the request is surely under way when the signal comes
        server.process.terminate()
        slow.sendall(body[10:])
        assert slow.recv(12) == b"HTTP/1.1 200"
    assert server.process.wait(STOP_DEADLINE_S) == 0
    server.process = None
