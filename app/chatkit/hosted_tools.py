"""Tools that the provider runs (searches, code, MCP servers), as tasks of a workflow."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from app.chatkit.icons import IconName
from app.chatkit.items import CustomTask, FileSource, FileTask, SearchTask, Task, URLSource
from app.chatkit.loose import peek, peek_list, peek_text

Indicator = Literal["none", "loading", "complete"]

FAILED_STATES = frozenset({"failed", "incomplete"})


def describe_hosted_tool(item: Any, *, done: bool) -> Task | None:
    """Return the task for an output item, or None if it is no hosted tool's.

    A tool at work is ``loading``, a finished one ``complete``; a failed one has no indicator, and
    says so in its title where it has one.
    """
    describe = _DESCRIPTIONS.get(peek_text(item, "type"))
    if describe is None:
        return None
    if not done:
        return describe(item, "loading")
    failed = peek_text(item, "status") in FAILED_STATES or peek(item, "error") is not None
    return describe(item, "none" if failed else "complete")


def _web_search(item: Any, indicator: Indicator) -> Task:
    action = peek(item, "action")
    queries = [query for query in peek_list(action, "queries") if isinstance(query, str)]
    if not queries:
        # "find in page" has a pattern instead of a query.
        query = peek_text(action, "query") or peek_text(action, "pattern")
        queries = [query] if query else []
    urls = [peek_text(source, "url") for source in peek_list(action, "sources")]
    urls.append(peek_text(action, "url"))
    return SearchTask(
        status_indicator=indicator,
        title_query=queries[0] if queries else None,
        queries=queries,
        sources=[
            URLSource(url=url, title=urlsplit(url).netloc or url)
            for url in dict.fromkeys(urls)
            if url.startswith(("http://", "https://"))
        ],
    )


def _file_search(item: Any, indicator: Indicator) -> Task:
    queries = [query for query in peek_list(item, "queries") if isinstance(query, str)]
    names = [peek_text(result, "filename") for result in peek_list(item, "results")]
    title = "Searched files" if indicator == "complete" else "Searching files"
    return FileTask(
        status_indicator=indicator,
        title=_title(", ".join(queries[:1]) or title, indicator),
        sources=[FileSource(filename=name, title=name) for name in dict.fromkeys(names) if name],
    )


def _custom(running: str, finished: str, icon: IconName) -> Callable[[Any, Indicator], Task]:
    def describe(item: Any, indicator: Indicator) -> Task:
        title = finished if indicator == "complete" else running
        return CustomTask(status_indicator=indicator, icon=icon, title=_title(title, indicator))

    return describe


def _mcp_call(item: Any, indicator: Indicator) -> Task:
    title = ": ".join(
        name for name in (peek_text(item, "server_label"), peek_text(item, "name")) if name
    )
    return CustomTask(
        status_indicator=indicator, icon="bolt", title=_title(title or "Tool", indicator)
    )


def _mcp_list_tools(item: Any, indicator: Indicator) -> Task:
    server = peek_text(item, "server_label")
    title = f"Tools of {server}" if server else "Tools"
    return CustomTask(status_indicator=indicator, icon="bolt", title=_title(title, indicator))


def _title(title: str, indicator: Indicator) -> str:
    return f"{title} (failed)" if indicator == "none" else title


_DESCRIPTIONS: dict[str, Callable[[Any, Indicator], Task]] = {
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _custom("Running code", "Ran code", "square-code"),
    "computer_call": _custom("Using the computer", "Used the computer", "desktop"),
    "mcp_call": _mcp_call,
    "mcp_list_tools": _mcp_list_tools,
}
