"""Every class of a component, and the least that each is built with."""

import inspect
from typing import Any

import app.chatkit.widgets as vocabulary
from app.chatkit.widgets.base import WidgetComponentBase

CLASSES: list[type[WidgetComponentBase]] = [
    each
    for _, each in inspect.getmembers(vocabulary, inspect.isclass)
    if issubclass(each, WidgetComponentBase) and isinstance(each.model_fields["type"].default, str)
]
LEAST_PROPS: dict[str, dict[str, Any]] = {
    "Card": {"children": []},
    "ListView": {"children": []},
    "ListViewItem": {"children": []},
    "Transition": {"children": None},
    "Image": {"src": "https://example.com/a.png"},
    "Icon": {"name": "star"},
    "Badge": {"label": "new"},
    "Label": {"value": "Name", "fieldName": "name"},
    "Chart": {"data": [{"x": "a", "y": 1}], "series": [], "xAxis": "x"},
    "Select": {"name": "choice", "options": []},
    **{name: {"value": "a"} for name in ("Text", "Title", "Caption", "Markdown")},
    **{
        name: {"name": "field"}
        for name in ("Checkbox", "DatePicker", "Input", "RadioGroup", "Textarea")
    },
}
