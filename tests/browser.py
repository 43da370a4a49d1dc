"""Pages in a real headless Chromium; a test is skipped, with the reason, where there is none."""

import io
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def opened(path, *, width=1280, height=900):
    """A playwright Page that shows a file. Leaving fails the test where the page asked for a network or threw."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install -e '.[dev]'")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"no Chromium here; looked for {', '.join(CHROMIUM)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        troubles, requests = [], []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(Path(path).absolute().as_uri())
        yield page
        browser.close()
    outside = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    assert not troubles and not outside, (troubles, outside)


def seen(page):
    """What is on the screen, uint8 (H,W,3)."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def colours(pixels):
    """How many there are."""
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


def share(pixels, colour, within=12):
    """Of the pixels that have a colour, as far as a JPEG keeps it."""
    return (np.abs(pixels.astype(int) - colour).max(axis=-1) <= within).mean()
