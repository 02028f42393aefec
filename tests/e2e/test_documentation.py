"""What the documentation tells people to type works as written: README, tutorial, the guide to embedding."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import httpx
import pytest

from sensorcast import cli
from tests.support.browser import wait_in_page
from tests.support.ports import free_port
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER_ADDRESS = "127.0.0.1:8080"
PAGES_ADDRESS = "127.0.0.1:8000"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of one language in a page of the documentation."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


class Terminal:
    """Types the commands of a page, on a server of our own instead of the default port and data folder."""

    def __init__(self, server: ServerProcess, page: str) -> None:
        self._server = server
        self._blocks = blocks(page, "sh")
        self._environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SENSORCAST_DATA": str(server.data)}

    def type(self, *words: str) -> str:
        """Run the block that holds all of `words`; give its output and keep the variables it exports."""
        return self._run(self._block(words))

    def start(self, *words: str, output: Path) -> subprocess.Popen[bytes]:
        """Run a block whose last line goes on until it is ended."""
        *first, last = self._block(words).splitlines()
        self._run("\n".join(first))
        with output.open("wb") as file:
            return subprocess.Popen(
                ["sh", "-c", f"exec {last}"], cwd=ROOT, env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )

    def _block(self, words: tuple[str, ...]) -> str:
        [block] = [block for block in self._blocks if all(word in block for word in words)]
        block = block.replace(SERVER_ADDRESS, f"127.0.0.1:{self._server.port}")
        block = block.replace("./tutorial-data", str(self._server.data))
        return block.replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    def _run(self, script: str) -> str:
        done = subprocess.run(
            ["sh", "-c", f"set -e\n{script}\nprintf '\\0'; env -0"],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        output, *variables = done.stdout.rstrip("\0").split("\0")
        self._environment = dict(variable.split("=", 1) for variable in variables)
        return output


def test_quickstart_of_the_readme_shows_the_posted_reading(start_server, tmp_path):
    terminal = Terminal(start_server(), "README.md")
    watched = tmp_path / "watched"
    watcher = terminal.start("export KEY", "watch.mjs", output=watched)
    try:
        wait_until(lambda: "connected as" in watched.read_text(), within_s=30, what="a connected watcher")
        assert '"insertedCount":1' in terminal.type("curl")
        wait_until(lambda: re.search(r"fridge-7 .* 4\.2", watched.read_text()), within_s=30, what="the reading")
    finally:
        watcher.terminate()
        watcher.wait(30)


def commands() -> list[tuple[str, str]]:
    """Every command of ours in the pages, with where it stands."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = []
    for page in pages:
        name = str(page.relative_to(ROOT))
        for block in blocks(name, "sh"):
            lines = block.replace("\\\n", " ")
            found += [
                (name, match)
                for match in re.findall(r"(?:^|\$\()(?:\.venv/bin/)?sensorcast (.*?)(?:\)|$)", lines, re.M)
            ]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_of_a_page_is_understood(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "units.csv").touch()
    arguments, program = shlex.split(command, comments=True), cli.main
    while isinstance(program, click.Group):
        program = program.commands[arguments.pop(0)]
    program.make_context(program.name, arguments).close()


def test_readme_shows_the_example_as_it_is():
    [shown] = blocks("README.md", "js")
    assert shown in (ROOT / "examples" / "watch.mjs").read_text(encoding="utf-8")


@pytest.fixture
def pages():
    """The web server of the tutorial, on a port of our own; gives its origin."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    origin = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{origin}/README.md"), within_s=30, what="the web server")
    yield origin
    process.terminate()
    process.wait(30)


def answers(url: str) -> bool:
    """Whether there is a page at `url` yet."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_tutorial_leads_to_a_chart_that_grows(start_server, pages):
    server = start_server(allowed_origins=pages, flush_interval_ms=200)
    terminal = Terminal(server, "docs/tutorial/first-chart.md")
    terminal.type("readyz")
    terminal.type("export KEY")
    assert '"insertedCount":1' in terminal.type("curl", '"temperature": 4.2')
    mixed = terminal.type("curl", '"humidity": 130')
    assert '"insertedCount":1' in mixed
    assert '"index":0' in mixed
    assert "fridge-7" in terminal.type("export TOKEN")
    address = terminal.type("echo").strip().replace(f"http://{PAGES_ADDRESS}", pages)
    state = wait_in_page(address, POINTS.format(count=1), within_s=30)
    assert state == "1 points, the last one 4.2 deg C"
    simulator = terminal.start("simulate", output=server.folder / "simulator.log")
    try:
        token = address.rpartition("token=")[2]
        unit_id = wait_until(lambda: simulated_unit(server, token), within_s=30, what="a simulated unit")
        wait_in_page(address.replace("fridge-7", unit_id), POINTS.format(count=3), within_s=30)
    finally:
        simulator.terminate()
        simulator.wait(30)


POINTS = (
    "parseInt(document.getElementById('state').textContent) >= {count} && document.querySelector('canvas')"
    " && document.getElementById('state').textContent"
)


def simulated_unit(server: ServerProcess, token: str) -> str | None:
    """The id of a unit that is not of the tutorial's own readings."""
    answer = server.http.get("/api/orgs/acme/units", headers={"Authorization": f"Bearer {token}"})
    names = [unit["unitId"] for unit in answer.json()["units"]]
    return next((name for name in names if not name.startswith("fridge-")), None)


def test_guide_to_embedding_runs_as_shown(tmp_path, browser_client):
    [program] = blocks("docs/how-to/embed.md", "python")
    port, path = free_port(), tmp_path / "embedding.py"
    path.write_text(program.replace("ws=sockets.websocket_class)", f"ws=sockets.websocket_class, port={port})"))
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = browser_client(url, token="let-me-in", reconnectionDelay=50)
        client.wait_for("connect", within_s=30)
        answer = httpx.post(f"{url}/measure/unit-1?temperature=4.5").json()
        assert client.wait_for_reading(answer["id"])["temperature"] == 4.5
        stranger = browser_client(url, token="somebody-else")
        assert stranger.wait_for("connect_error")["data"] == {"code": "unauthenticated"}
    finally:
        process.terminate()
        process.wait(30)
