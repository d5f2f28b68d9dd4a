"""The pages for people: the README, the page for contributors, and one beside each part."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / "app").rglob("*.md")),
]
ALL = "\n".join(page.read_text() for page in PAGES)

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example(name: str, language: str) -> str:
    """Return the code below the comment that says that it is tested, on whichever page it is."""
    found = re.findall(rf"<!-- tested: {name} -->\n```{language}\n(.*?)```", ALL, re.DOTALL)
    assert len(found) == 1, name
    return found[0]


def name_of(page: Path) -> str:
    """Return a page's path, for reports."""
    return str(page.relative_to(ROOT))


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the content of each fenced block."""
    return _FENCED.findall(text)


def code_spans(text: str) -> list[str]:
    """Return what stands between backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", _FENCED.sub("", text))
