"""Claims about pages: complete, without inline code, and asked about again."""

from __future__ import annotations

import re

import pytest

from sensorcast.web.pages import STATIC

from .conftest import Door


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_everything_a_page_refers_to_is_served_from_here(door: Door, path: str) -> None:
    page = await door.client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for reference in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
        assert reference.startswith("/"), reference
        assert (await door.client.get(reference)).status_code == 200, reference


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_pages_hold_no_inline_code_or_style(page: str) -> None:
    text = (STATIC / page).read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_no_script_of_ours_makes_markup_from_text() -> None:
    for script in (STATIC / "js").rglob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text()), (
            script
        )


@pytest.mark.parametrize("path", ["/", "/docs", "/static/js/main.js"])
async def test_an_unchanged_file_is_not_sent_again_and_keeps_its_policy(door: Door, path: str) -> None:
    first = await door.client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = await door.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" not in again.headers


def test_vendored_code_comes_with_its_licence() -> None:
    assert "MIT" in (STATIC / "vendor" / "socket.io-client.LICENSE").read_text()
    assert "MIT" in (STATIC / "vendor" / "uplot.LICENSE").read_text()
