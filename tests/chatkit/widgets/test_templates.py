import json
import os
import socket
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined, UndefinedError
from jinja2.exceptions import SecurityError
from pydantic import BaseModel, ValidationError

from app.chatkit.widgets import BasicRoot, DynamicWidgetRoot
from app.chatkit.widgets.templates import WidgetDataError, WidgetTemplate, WidgetTemplateError

WEATHER = {"city": 'The "City"', "degrees": 21, "wind": 3.5, "status": None}


class Task(BaseModel):
    id: str
    title: str
    done: bool = False
    due: str | None = None


class Tasks(BaseModel):
    tasks: list[Task]


def template_of(source: str, **more: Any) -> WidgetTemplate:
    return WidgetTemplate({"version": "1.0", "name": "test", "template": source, **more})


def write_widget(folder: Path, **changes: Any) -> Path:
    path = folder / "broken.widget"
    definition: dict[str, Any] = {"version": "1.0", "name": "x", "template": "{}", **changes}
    path.write_text(json.dumps({k: v for k, v in definition.items() if v is not None}, indent=1))
    return path


def test_file_is_found_beside_the_caller_when_the_path_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    template = WidgetTemplate.from_file("templates/welcome.widget")

    assert template.name == "Welcome"
    assert template.build().model_dump() == {
        "type": "Card",
        "children": [{"type": "Title", "value": "Hello"}],
    }


def test_widget_is_built_when_the_data_fits() -> None:
    widget = WidgetTemplate.from_file("templates/weather.widget").build(WEATHER)

    assert isinstance(widget, DynamicWidgetRoot)
    dumped = widget.model_dump()
    assert dumped["children"][0] == {"type": "Title", "value": 'The "City"'}
    assert "status" not in dumped


def test_unknown_components_and_props_pass_through_when_a_template_has_them() -> None:
    dumped = WidgetTemplate.from_file("templates/weather.widget").build(WEATHER).model_dump()

    assert dumped["border"] == {"size": 1, "color": "subtle"}
    assert dumped["children"][2] == {
        "type": "WindRose",
        "degrees": 3.5,
        "labels": ["N", "S"],
    }


def test_model_is_accepted_when_it_holds_the_data() -> None:
    data = Tasks(tasks=[Task(id="1", title="A", due="today"), Task(id="2", title="B", done=True)])

    dumped = WidgetTemplate.from_file("templates/tasks.widget").build(data).model_dump()

    texts = [row["children"][0] for row in dumped["children"]]
    assert texts == [
        {"type": "Text", "value": "A", "lineThrough": False},
        {"type": "Text", "value": "B", "lineThrough": True},
    ]


def test_models_are_checked_when_they_are_inside_a_dict() -> None:
    template = WidgetTemplate.from_file("templates/tasks.widget")

    widget = template.build({"tasks": [Task(id="1", title="A")]})

    assert widget.model_dump()["children"][0]["key"] == "1"


def test_template_is_compiled_once_when_it_is_loaded_again() -> None:
    first = WidgetTemplate.from_file("templates/note.widget")

    assert WidgetTemplate.from_file("templates/note.widget").template is first.template


def test_template_is_read_again_when_the_file_has_changed(tmp_path: Path) -> None:
    path = write_widget(tmp_path, name="old")
    assert WidgetTemplate.from_file(path).name == "old"

    write_widget(tmp_path, name="new")
    os.utime(path, ns=(1, 1))

    assert WidgetTemplate.from_file(path).name == "new"


def test_subclass_is_built_when_it_loads_a_file() -> None:
    class Branded(WidgetTemplate):
        pass

    assert type(WidgetTemplate.from_file("templates/note.widget")) is WidgetTemplate
    assert type(Branded.from_file("templates/note.widget")) is Branded


def test_compiled_template_is_used_when_the_definition_has_one() -> None:
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # as users write it
    compiled = environment.from_string('{"type": "Basic", "note": {{ note | tojson }}}')

    template = WidgetTemplate({"version": "1.0", "name": "x", "template": compiled})

    assert template.template is compiled
    assert template.build({"note": "hi"}).model_dump() == {"type": "Basic", "note": "hi"}


def test_basic_root_is_built_with_a_warning_when_build_basic_is_called() -> None:
    template = template_of('{"type": "Basic", "children": []}')

    with pytest.warns(DeprecationWarning, match="use build"):
        widget = template.build_basic()

    assert type(widget) is BasicRoot


def test_building_warns_of_nothing_when_it_is_not_deprecated() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        template_of('{"type": "Card", "children": []}', jsonSchema={"type": "object"}).build({})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"city": 7}, r"\$\.city: 7 is not of type 'string'"),
        ({"degrees": "warm"}, r"\$\.degrees"),
        ({"sky": "blue"}, r"\$: Additional properties"),
    ],
)
def test_data_is_refused_with_its_path_when_it_does_not_fit_the_schema(
    change: dict[str, Any], where: str
) -> None:
    template = WidgetTemplate.from_file("templates/weather.widget")

    with pytest.raises(WidgetDataError, match=f"'Weather' is wrong at {where}"):
        template.build({**WEATHER, **change})


def test_data_is_refused_with_its_path_when_an_item_deep_inside_is_wrong() -> None:
    template = WidgetTemplate.from_file("templates/tasks.widget")

    with pytest.raises(WidgetDataError, match=r"at \$\.tasks\[1\]: 'title' is a required"):
        template.build({"tasks": [Task(id="1", title="A"), {"id": "2", "done": True}]})


def test_data_is_refused_when_there_is_none_but_the_schema_needs_some() -> None:
    with pytest.raises(WidgetDataError, match="'city' is a required property"):
        WidgetTemplate.from_file("templates/weather.widget").build()


def test_undefined_variable_is_an_error_when_there_is_no_schema() -> None:
    with pytest.raises(UndefinedError, match="'nmae' is undefined") as caught:
        template_of('{"type": "Card", "x": {{ nmae | tojson }}}').build({"name": 1})

    assert caught.value.__notes__ == ["while the widget template 'test' was rendered"]


def test_models_and_times_are_written_when_a_template_uses_tojson() -> None:
    template = template_of('{"type": "Card", "task": {{ task | tojson }}, "at": {{ at | tojson }}}')

    widget = template.build(
        {"task": Task(id="1", title="A"), "at": datetime(2026, 1, 2, tzinfo=UTC)}
    )

    assert widget.model_dump()["task"] == {"id": "1", "title": "A", "done": False}
    assert widget.model_dump()["at"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ values.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(values) }}",
    ],
)
def test_template_cannot_leave_its_sandbox_when_it_tries(source: str) -> None:
    with pytest.raises(SecurityError):
        template_of(source).build({"values": []})


def test_rendered_text_is_shown_when_it_is_no_json() -> None:
    template = template_of('{"type": "Card",\n "children": {{ title }}}')

    with pytest.raises(WidgetTemplateError, match=r"'test' did not render to JSON: .* at line 2: "):
        template.build({"title": "unquoted"})


def test_widget_is_refused_when_its_root_is_unknown() -> None:
    with pytest.raises(ValidationError, match="Input should be 'Card', 'ListView' or 'Basic'"):
        template_of('{"type": "Hero"}').build()


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ({"version": "2.0"}, 2, "version '2.0' is not supported"),
        ({"version": None}, 1, '"version" is missing'),
        ({"template": None}, 1, '"template" is missing'),
        ({"template": 5}, 4, "the template is no text"),
        ({"template": "{}\n{% for %}"}, 4, "the template is wrong in its line 2"),
        ({"jsonSchema": {"type": "text"}}, 5, r"jsonSchema is no JSON schema at \$\.type"),
    ],
)
def test_file_and_line_are_named_when_a_definition_is_wrong(
    tmp_path: Path, changes: dict[str, Any], line: int, message: str
) -> None:
    path = write_widget(tmp_path, **changes)

    with pytest.raises(WidgetTemplateError, match=f"broken.widget:{line}: {message}"):
        WidgetTemplate.from_file(path)


def test_file_and_line_are_named_when_a_file_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "broken.widget"
    path.write_text('{\n "version": "1.0",\n "name": oops\n}')

    with pytest.raises(WidgetTemplateError, match=r"broken.widget:3: no JSON at column 10"):
        WidgetTemplate.from_file(path)


def test_error_is_a_value_error_when_a_version_is_unknown() -> None:
    with pytest.raises(ValueError, match="not supported"):
        WidgetTemplate({"version": "0.9", "name": "x", "template": "{}"})


def test_schema_is_not_fetched_when_it_refers_to_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host))
    template = template_of('{"type": "Card"}', jsonSchema={"$ref": "https://example.com/schema"})

    with pytest.raises(Exception, match="Unresolvable"):
        template.build({})

    assert asked == []
