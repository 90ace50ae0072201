"""Pages in a real browser. Screenshots go to the folder DEBLUR_ARTEFACTS, if it is set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """An open page that notes what it should not do."""

    def __init__(self, browser: Browser, html: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 950}, **options})
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        # That reading the canvas back is slow is said to the tests, not to the page.
        self.page.on("console", lambda message: self.note(message.text) if "getImageData" not in message.text else None)
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(html.as_uri())
        self.page.wait_for_selector("body[data-ready]")
        self.settle()

    def note(self, complaint: str) -> None:
        self.complaints.append(complaint)

    def settle(self) -> None:
        """Waits until what has changed is drawn, pictures that have to be decoded first included."""
        self.page.wait_for_timeout(250)

    def at(self, row: float, column: float) -> tuple[float, float]:
        """Where on the screen the middle of a pixel of the photo is."""
        x, y = self.page.evaluate(
            f"(() => {{ const [x, y] = toCanvas({column} + 0.5, {row} + 0.5), box = stage.getBoundingClientRect();"
            " return [x / devicePixelRatio + box.left, y / devicePixelRatio + box.top]; })()"
        )
        return x, y

    def colour(self, row: int, column: int) -> np.ndarray:
        """What is drawn in the middle of a pixel of the photo."""
        code = f"Array.from(ink.getImageData(...toCanvas({column} + 0.5, {row} + 0.5), 1, 1).data)"
        return np.array(self.page.evaluate(code)[:3])

    def split(self, value: int) -> None:
        self.page.evaluate(f"(() => {{ const s = $('split'); s.value = {value}; s.oninput(); }})()")
        self.settle()

    def screenshot(self, name: str) -> None:
        if folder := os.environ.get("DEBLUR_ARTEFACTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
