"""Size budgets, test twins, forbidden texts, stale pages: each check passes what is right and names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest


def function_of(lines: int) -> str:
    return "def long():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(("lines", "findings"), [(60, 0), (61, 1)])
def test_function_above_60_lines_is_found(tool, tmp_path, monkeypatch, lines, findings):
    budget = tool("check_budget")
    monkeypatch.setattr(budget, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(function_of(lines))
    assert len(list(budget.oversized(tmp_path / "a.py"))) == findings


@pytest.mark.parametrize(("lines", "findings"), [(400, 0), (401, 1)])
def test_file_above_400_lines_is_found(tool, tmp_path, monkeypatch, lines, findings):
    budget = tool("check_budget")
    monkeypatch.setattr(budget, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n" * lines)
    assert len(list(budget.oversized(tmp_path / "a.py"))) == findings


@pytest.mark.parametrize(
    ("module", "code", "needed"),
    [
        ("wire/frame.py", "", True),
        ("formats/__init__.py", '"""Only words."""\n', False),
        ("stream/__init__.py", "class SensorStream: ...\n", True),
        ("store/__init__.py", "class ReadingStore: ...\n", False),
    ],
)
def test_module_with_code_needs_a_twin(tool, tmp_path, monkeypatch, module, code, needed):
    twins = tool("check_twins")
    monkeypatch.setattr(twins, "SOURCE", tmp_path)
    (tmp_path / module).parent.mkdir()
    (tmp_path / module).write_text(code)
    assert twins.needs_twin(Path(module)) is needed


@pytest.mark.parametrize(
    "text",
    ["see /ho" + "me/somebody/x", "/ro" + "ot/.cache", "from https://py" + "pi.org/simple", "registry.np" + "mjs.org"],
)
def test_machine_path_or_registry_host_is_found(tool, tmp_path, monkeypatch, text):
    check = tool("check_text")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text(f"fine\n{text}\n")
    assert [finding.partition(":")[2][:1] for finding in check.findings_in(tmp_path / "a.md")] == ["2"]


@pytest.mark.parametrize("text", ["/usr/bin/chromium", "/socket.io/", "./sensorcast-data", "https://socket.io/docs"])
def test_other_text_is_left_alone(tool, tmp_path, monkeypatch, text):
    check = tool("check_text")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text(text)
    assert list(check.findings_in(tmp_path / "a.md")) == []


def test_stale_page_is_found_and_written(tool, tmp_path, monkeypatch, capsys):
    docs = tool("docs")
    monkeypatch.setattr(docs, "PAGES_FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["docs.py"])
    assert docs.main() == 0
    (tmp_path / "errors.md").write_text("old")
    monkeypatch.setattr("sys.argv", ["docs.py", "--check"])
    assert docs.main() == 1
    assert capsys.readouterr().out.endswith("Stale, run `make docs`: errors.md\n")
