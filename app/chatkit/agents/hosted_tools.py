"""Tools that the provider runs (searches, code, MCP servers), as tasks of a workflow."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from app.chatkit.agents.safe_urls import is_safe_url
from app.chatkit.icons import IconName
from app.chatkit.protocol.items import CustomTask, FileSource, FileTask, SearchTask, Task, URLSource
from app.chatkit.untyped import get_field, get_list, get_text

Indicator = Literal["none", "loading", "complete"]

FAILED_STATES = frozenset({"failed", "incomplete"})


def describe_hosted_tool(item: Any, *, done: bool) -> Task | None:
    """Return the task for an output item, or None if it is no hosted tool's.

    A tool at work is ``loading``, a finished one ``complete``; a failed one has no indicator, and
    says so in its title where it has one.
    """
    describe = _DESCRIPTIONS.get(get_text(item, "type"))
    if describe is None:
        return None
    if not done:
        return describe(item, "loading")
    failed = get_text(item, "status") in FAILED_STATES or get_field(item, "error") is not None
    return describe(item, "none" if failed else "complete")


def _web_search(item: Any, indicator: Indicator) -> Task:
    action = get_field(item, "action")
    queries = [query for query in get_list(action, "queries") if isinstance(query, str)]
    if not queries:
        # "find in page" has a pattern instead of a query.
        query = get_text(action, "query") or get_text(action, "pattern")
        queries = [query] if query else []
    urls = [get_text(source, "url") for source in get_list(action, "sources")]
    urls.append(get_text(action, "url"))
    return SearchTask(
        status_indicator=indicator,
        title_query=queries[0] if queries else None,
        queries=queries,
        sources=[
            URLSource(url=url, title=urlsplit(url).netloc or url)
            for url in dict.fromkeys(urls)
            if is_safe_url(url)
        ],
    )


def _file_search(item: Any, indicator: Indicator) -> Task:
    queries = [query for query in get_list(item, "queries") if isinstance(query, str)]
    names = [get_text(result, "filename") for result in get_list(item, "results")]
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
        name for name in (get_text(item, "server_label"), get_text(item, "name")) if name
    )
    return CustomTask(
        status_indicator=indicator, icon="bolt", title=_title(title or "Tool", indicator)
    )


def _mcp_list_tools(item: Any, indicator: Indicator) -> Task:
    server = get_text(item, "server_label")
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
