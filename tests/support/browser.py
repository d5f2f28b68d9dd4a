"""A Chromium without a window, where there is one on this machine."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


PATIENCE = 60_000
"""For how long a state of the page is waited for, in milliseconds: a machine may be busy."""

expect.set_options(timeout=PATIENCE)

needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine"
)
"""Skips a test where there is no browser; in CI it fails instead."""


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium without a window."""
    assert CHROMIUM is not None, "there is no Chromium on this machine"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
