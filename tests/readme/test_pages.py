"""What the pages name exists: paths, links, classes, functions and settings."""

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path
from pkgutil import resolve_name

import pytest

from app.settings import Settings
from tests.readme.pages import ALL, PAGES, ROOT, code_blocks, code_spans, name_of

APP = ROOT / "app"
SUFFIXES = "py|js|md|html|toml|yml|yaml|widget|lock|css|example"
# Files of whoever reads the page, and files that only exist at work.
THEIRS = {"myapp.py", "tickets.py", "docker-compose.override.yml", ".env", ".data/", ".venv"}
# Variables that are no settings: of make, of tests, of examples, and those that libraries read.
OTHER_VARIABLES = {
    *("ARGS", "WORKERS", "HYPOTHESIS_PROFILE", "TEST_DATABASE_URL", "BASE_URL", "CLIENT_SECRET"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}

# Names of other programs' things.
NOT_OURS = {"createChatKitFetch", "ImageGenerationTool"}

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@functools.cache
def collect_names() -> tuple[set[str], dict[str, set[str]]]:
    """Return every name in ``app``, and what each class defines or inherits from one of ours."""
    names: set[str] = set()
    members: dict[str, set[str]] = defaultdict(set)
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names.add(node.name)
                for child in ast.walk(node):
                    if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                        members[node.name].add(child.name)
                    elif isinstance(child, ast.Attribute):
                        members[node.name].add(child.attr)
                    elif isinstance(child, ast.Name):
                        members[node.name].add(child.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
    return names, members


@functools.cache
def collect_words() -> set[str]:
    """Return what tables, columns and parameters of requests are called, and all else there."""
    return set(
        re.findall(
            r"\w+",
            "\n".join(
                path.read_text()
                for folder in (APP / "db", APP / "chatkit" / "protocol", APP / "auth", APP / "web")
                for path in sorted(folder.rglob("*.*"))
                if path.suffix in (".py", ".js")
            ),
        )
    )


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_paths_exist(page: Path) -> None:
    spans = code_spans(page.read_text())
    paths = {
        span
        for span in spans
        if re.fullmatch(rf"[\w.-][\w./-]*/|[\w.-][\w./-]*\.({SUFFIXES})", span)
        or re.fullmatch(r"(app|tests|migrations|benchmarks|\.\.?)/[\w./-]+", span)
    } - THEIRS
    folders = [page.parent, ROOT, APP]
    folders += [ROOT / path for path in paths if (ROOT / path).is_dir()]
    for path in paths:
        assert any((folder / path).exists() for folder in folders), path


@each_page
def test_pictures_show_what_exists(page: Path) -> None:
    for language, content in code_blocks(page.read_text()):
        if language:
            continue
        for name in re.findall(rf"[\w]+(?:/|\.(?:{SUFFIXES})\b)", content):
            assert list(page.parent.rglob(name.rstrip("/"))), name


@each_page
def test_modules_can_be_imported(page: Path) -> None:
    for span in code_spans(page.read_text()):
        if re.fullmatch(r"app(\.\w+)+", span) and not span.endswith(".com"):
            resolve_name(span)


@each_page
def test_functions_and_classes_exist(page: Path) -> None:
    names, members = collect_names()
    for span in code_spans(page.read_text()):
        name = span.removesuffix("()").partition("(")[0]
        if re.fullmatch(r"[A-Z]\w*[a-z]\w*\.\w+", name):
            owner, _, member = name.partition(".")
            assert member in members[owner], span
        elif re.fullmatch(r"[A-Z][a-z]+[A-Z]\w+|[a-z]+_\w+", name) and span not in NOT_OURS:
            assert name in names or name in collect_words(), span


@each_page
def test_settings_exist(page: Path) -> None:
    text = page.read_text()
    spans = [*code_spans(text), *(code for language, code in code_blocks(text) if language == "sh")]
    settings = {name.upper() for name in Settings.model_fields}
    for span in spans:
        for name in re.findall(r"\b([A-Z][A-Z_]{3,})=", span):
            assert name in settings | OTHER_VARIABLES, name
        if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", span):
            assert span in settings | OTHER_VARIABLES or span in collect_names()[0], span


@each_page
def test_python_is_marked_as_tested(page: Path) -> None:
    text = page.read_text()
    blocks = text.count("\n```python\n")
    assert len(re.findall(r"^<!-- tested: .+ -->\n```python$", text, re.MULTILINE)) == blocks


def test_what_is_marked_as_tested_is() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"<!-- tested: (.+?) -->", ALL):
        assert "..." in name or f'"{name}"' in tests, name


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        if page.name in ("README.md", "CONTRIBUTING.md"):
            assert f"({name_of(page)})" in readme, name_of(page)


def test_the_readme_is_about_four_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 220


def test_every_part_that_a_team_edits_is_in_the_readme() -> None:
    section = (
        (ROOT / "README.md").read_text().partition("## Make it yours")[2].partition("\n## ")[0]
    )
    for path in (APP / "assistant").iterdir():
        if not path.name.startswith("__") and path.suffix != ".md":
            assert f"`{path.name}{'/' if path.is_dir() else ''}`" in section, path.name
