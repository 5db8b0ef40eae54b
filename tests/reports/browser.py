"""The system's Chromium, without a network, and what a page did in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)


def chromium() -> str:
    """Where Chromium is; skips the test where it or Playwright is absent."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e '.[test]'")
    return found


@dataclass
class Visit:
    """An open page, and what it complained of or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def started() -> Iterator[Any]:
    """Chromium, to open pages in."""
    where = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=where, args=_QUIET.split())
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Any, path: Path, width: int = 1200, scheme: str = "light", script: bool = True
) -> Iterator[Visit]:
    """Open a file and wait until its charts are drawn."""
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    seen = Visit(page)
    page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.resolve().as_uri())
    if script:
        page.wait_for_function("document.documentElement.dataset.charts === 'done'", timeout=120_000)
    yield seen
    page.close()


def photograph(page: Any, folder: Path) -> list[Path]:
    """A picture of each section."""
    folder.mkdir(parents=True, exist_ok=True)
    page.add_style_tag(content="header { position: static !important }")
    pictures = []
    for section in page.query_selector_all("section"):
        path = folder / f"{section.get_attribute('id')}.png"
        section.screenshot(path=str(path))
        pictures.append(path)
    return pictures
