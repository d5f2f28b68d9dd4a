"""Files in the demo page: chosen, dropped or pasted, sent, and there again after a reload."""

import io
import re

import pytest
from PIL import Image
from playwright.async_api import FilePayload, Locator, Page, expect

from tests.browser.pages import finished, screenshot, send
from tests.support.browser import needs_browser

pytestmark = needs_browser

DROP = """(target, { type, name, text }) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: 'text/plain' }));
  const options = { bubbles: true, cancelable: true };
  const event = type === 'paste'
    ? new ClipboardEvent(type, { ...options, clipboardData: data })
    : new DragEvent(type, { ...options, dataTransfer: data });
  target.dispatchEvent(event);
}"""


def picture(color: str = "rebeccapurple", side: int = 900) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side * 2 // 3), color).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = FilePayload(name="picture.png", mimeType="image/png", buffer=picture())
NOTES = FilePayload(name="notes <b>.csv", mimeType="text/csv", buffer=b"one,two\nthree,four\n")
FALSE = FilePayload(name="false.png", mimeType="image/png", buffer=b"<script>alert(1)</script>")


async def attach(page: Page, *files: FilePayload) -> None:
    await page.get_by_test_id("picker").set_input_files(files)


def attached(page: Page) -> Locator:
    """Return the files above the message that is being written."""
    return page.get_by_test_id("attachment")


async def loaded(image: Locator) -> None:
    """Wait until an image is shown, and not only asked for."""
    await expect(image).to_be_visible()
    await expect(image).to_have_js_property("complete", True)
    assert await image.evaluate("image => image.naturalWidth") > 0


async def test_files_are_sent_and_stay_when_the_page_is_reloaded(page: Page) -> None:
    await attach(page, PICTURE, NOTES)
    await expect(attached(page)).to_have_count(2)
    await expect(attached(page).last).to_contain_text("CSV · 19 B")
    await expect(page.get_by_test_id("send")).to_be_enabled()
    await screenshot(page, "files-attached")
    await send(page, "What is in these?")
    await finished(page)
    await expect(attached(page)).to_have_count(0)
    answer = page.get_by_test_id("message-assistant")
    await expect(answer).to_contain_text("an image")
    await expect(answer).to_contain_text("(2 words)")

    message = page.get_by_test_id("message-user")
    for _ in range(2):
        await loaded(message.get_by_role("img", name="picture.png"))
        await expect(message).to_contain_text("notes <b>.csv")
        await screenshot(page, "files-sent")
        await page.reload()


async def test_files_can_be_sent_without_a_word(page: Page) -> None:
    await expect(page.get_by_test_id("send")).to_be_disabled()
    await attach(page, PICTURE)
    await page.get_by_test_id("send").click()
    await finished(page)
    await loaded(page.get_by_test_id("message-user").get_by_role("img", name="picture.png"))
    await expect(page.get_by_test_id("thread-item")).to_contain_text("picture.png")


async def test_refused_file_says_why_and_can_be_removed(page: Page, complaints: list[str]) -> None:
    await attach(page, FALSE, NOTES)
    failed = attached(page).first
    await expect(failed).to_contain_text("its content is text/html")
    await expect(page.get_by_test_id("send")).to_be_disabled()
    await screenshot(page, "file-refused")
    await page.get_by_role("button", name="Remove false.png").click()
    await expect(attached(page)).to_have_count(1)
    await expect(page.get_by_test_id("send")).to_be_enabled()
    (complaint,) = complaints
    assert "status of 4" in complaint
    complaints.clear()


async def test_removed_file_is_deleted_on_the_server(page: Page) -> None:
    await attach(page, NOTES)
    await expect(attached(page)).to_contain_text("CSV")
    async with page.expect_response("**/chatkit") as answer:
        await page.get_by_role("button", name=re.compile("Remove")).click()
    response = await answer.value
    assert response.status == 200
    assert await response.json() == {}  # a deletion's answer
    await expect(attached(page)).to_have_count(0)


@pytest.mark.parametrize("type", ["drop", "paste"])
async def test_file_is_attached_when_it_is_dropped_or_pasted(page: Page, type: str) -> None:
    target = page.get_by_test_id("composer-input")
    if type == "drop":
        await target.evaluate(DROP, {"type": "dragenter", "name": "a.txt", "text": "x"})
        await expect(page.get_by_text("Drop files to attach them")).to_be_visible()
        await screenshot(page, "file-dragged")
    await target.evaluate(DROP, {"type": type, "name": "a.txt", "text": "three words here"})
    await expect(page.get_by_text("Drop files to attach them")).to_be_hidden()
    await expect(attached(page)).to_contain_text("a.txt")
    await expect(attached(page)).to_contain_text("16 B")
    await send(page, "And this?")
    await finished(page)
    await expect(page.get_by_test_id("message-assistant")).to_contain_text("(3 words)")


async def test_generated_image_has_an_address_and_stays(page: Page) -> None:
    await send(page, "Draw a sunset")
    await finished(page)
    image = page.get_by_role("img", name="Generated image")
    for _ in range(2):
        await loaded(image)
        # A preview holds its own bytes; the finished image has an address.
        await expect(image).to_have_attribute("src", re.compile("^http"))
        await loaded(image)
        await page.reload()
