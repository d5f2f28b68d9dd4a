"""What tests do with the demo page in a browser."""

import os
from pathlib import Path

from playwright.async_api import Page, expect


async def send(page: Page, text: str) -> None:
    """Write a message and send it."""
    await page.get_by_test_id("composer-input").fill(text)
    await page.get_by_test_id("send").click()


async def finished(page: Page, *, errors: int = 0) -> None:
    """Wait for the end of the answer, which must be the one that is expected."""
    await expect(page.get_by_test_id("busy")).to_have_count(0)
    await expect(page.get_by_test_id("error-banner")).to_have_count(errors)


async def screenshot(page: Page, name: str) -> None:
    """Leave a picture where ``SCREENSHOTS`` says, for a person to look at."""
    if directory := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(directory) / f"{name}.png")
