import json
import os
import re
import socket
import warnings
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined, UndefinedError
from pydantic import BaseModel, ValidationError

from app.chatkit.widgets import BasicRoot, DynamicWidgetRoot
from app.chatkit.widgets.templates import WidgetDataError, WidgetTemplate, WidgetTemplateError
from tests.conformance.official_surface import official

FILES = Path(__file__).parent / "templates"
WEATHER = {"city": 'The "City"', "degrees": 21, "wind": 3.5, "status": None}


class Task(BaseModel):
    id: str
    title: str
    done: bool = False
    due: str | None = None


class Tasks(BaseModel):
    tasks: list[Task]


def template_of(source: str, *, strict: bool = False, **more: Any) -> WidgetTemplate:
    definition = {"version": "1.0", "name": "test", "template": source, **more}
    return WidgetTemplate(definition, strict=strict)


def official_build(name: str, data: Any) -> Any:
    """Return the widget as the official renderer builds it, payload nulls apart."""
    template = official("widgets").WidgetTemplate.from_file(str(FILES / f"{name}.widget"))
    widget = json.loads(template.build(data).model_dump_json(exclude_none=True))
    widget["children"][-1]["onClickAction"]["payload"] = {"city": data["city"], "previous": None}
    return widget


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


WRONG_DATA: dict[str, tuple[Any, str]] = {
    "a number for a text": ({**WEATHER, "city": 7}, "$.city: 7 is not of type 'string'"),
    "an unknown key": ({**WEATHER, "sky": "blue"}, "$: Additional properties are not allowed"),
    "a null for what is required": ({**WEATHER, "city": None}, "$.city: None is not of type"),
}


@pytest.mark.parametrize(("data", "where"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_is_rendered_with_a_warning_when_it_does_not_fit_the_schema(
    data: dict[str, Any], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    template = WidgetTemplate.from_file("templates/weather.widget")

    widget = template.build(data)

    assert widget.model_dump() == official_build("weather", data)
    (record,) = caplog.records
    text = record.getMessage()
    assert (record.levelname, record.name) == ("WARNING", "chatkit")
    assert "'Weather' (" in text
    assert "templates/weather.widget) is wrong at " + where in text


@pytest.mark.parametrize("way", ["file", "build", "constructor"])
@pytest.mark.parametrize(("data", "where"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_is_refused_with_its_path_when_a_template_is_strict(
    data: dict[str, Any], where: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = FILES / "weather.widget"
    match way:
        case "file":
            build = WidgetTemplate.from_file(path, strict=True).build
        case "build":
            build = partial(WidgetTemplate.from_file(path).build, strict=True)
        case _:
            build = WidgetTemplate(json.loads(path.read_text()), strict=True).build

    with pytest.raises(WidgetDataError, match=f"'Weather'.* is wrong at {re.escape(where)}"):
        build(data)

    assert [each.levelname for each in caplog.records] == ["ERROR"]


def test_strictness_is_of_the_call_when_a_file_is_loaded_twice() -> None:
    data = {**WEATHER, "city": 7}
    strict = WidgetTemplate.from_file("templates/weather.widget", strict=True)

    WidgetTemplate.from_file("templates/weather.widget").build(data)
    strict.build(data, strict=False)
    with pytest.raises(WidgetDataError):
        strict.build(data)


def test_path_leads_deep_inside_when_a_model_in_a_list_does_not_fit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Row(BaseModel):
        id: str
        title: str = ""
        name: str = "A"

    template = WidgetTemplate.from_file("templates/tasks.widget")

    template.build(
        {"tasks": [Task(id="1", title="A"), {"id": "2", "done": 1, "title": "B", "due": None}]}
    )

    assert "at $.tasks[1].done: 1 is not of type 'boolean'" in caplog.text
    with pytest.raises(WidgetDataError, match=r"at \$\.tasks\[0\]: 'done' is a required"):
        template.build({"tasks": [Row(id="1")]}, strict=True)


def test_data_is_refused_when_there_is_none_but_the_schema_needs_some() -> None:
    with pytest.raises(WidgetDataError, match="'city' is a required property"):
        WidgetTemplate.from_file("templates/weather.widget", strict=True).build()


OPTIONAL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "rows": {"items": {"$ref": "#/$defs/row"}},
        "either": {"anyOf": [{"$ref": "#/$defs/row"}, {"type": "integer"}]},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "additionalProperties": False,
    "maxProperties": 4,
    "$defs": {
        "row": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "note": {"enum": ["a", "b"]}},
            "required": ["id"],
            "additionalProperties": False,
        }
    },
}
SPARSE_DATA: dict[str, tuple[Any, str | None]] = {
    "an optional property": ({"title": None}, None),
    "one that is no property": ({"title": "a", "more": None}, None),
    "one by pattern": ({"x-a": None}, None),
    "one in a list": ({"rows": [{"id": "1", "note": None}]}, None),
    "one in a choice": ({"either": {"id": "1", "note": None, "z": None}}, None),
    "too many": ({"title": "a", "x-1": None, "x-2": None, "x-3": None, "x-4": None}, None),
    "a required one": ({"rows": [{"id": None}]}, "$.rows[0].id: None is not of type 'string'"),
    "an element": ({"rows": [None]}, "$.rows[0]: None is not of type 'object'"),
}


@pytest.mark.parametrize(("data", "fault"), SPARSE_DATA.values(), ids=SPARSE_DATA)
def test_null_counts_as_absent_when_the_schema_does_not_require_it(
    data: dict[str, Any], fault: str | None
) -> None:
    source = '{"type": "Card", "children": [], "seen": {{ [title is none, title] | tojson }}}'
    template = template_of(source, jsonSchema=OPTIONAL)
    values = {"title": "", **data}

    if fault is None:
        built = template.build(values, strict=True)
    else:
        with pytest.raises(WidgetDataError, match=re.escape(fault)):
            template.build(values, strict=True)
        built = template.build(values)

    # The template itself sees the null.
    title = values["title"]
    assert built.model_dump()["seen"] == [title is None, *([title] if title is not None else [])]


def test_widget_is_built_with_a_warning_when_a_component_has_a_wrong_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = '{"type": "Card", "children": [{"type": "Badge", "label": "a", "color": "purple"}]}'

    assert template_of(source).build().model_dump() == json.loads(source)

    (record,) = caplog.records
    assert "'test' made a wrong value at $.children[0].color: Input should be" in record.message
    with pytest.raises(WidgetTemplateError, match=r"at \$\.children\[0\]\.color"):
        template_of(source).build(strict=True)
    with pytest.raises(WidgetTemplateError, match=r"at \$\.children\[0\]\.color"):
        template_of(source, strict=True).build()


def test_one_warning_is_enough_when_wrong_data_makes_a_wrong_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema = {"properties": {"title": {"type": "string"}}}
    source = '{"type": "Card", "children": [{"type": "Title", "value": {{ title }}}]}'

    template_of(source, jsonSchema=schema).build({"title": 7})

    assert len(caplog.records) == 1
    assert "$.title: 7 is not of type 'string'" in caplog.text


def test_basic_root_is_built_when_its_own_values_are_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data: Any = {"type": "Basic", "align": "middle", "own": 1, "children": [{"type": "Spacer"}]}
    template = template_of(json.dumps(data))

    with pytest.warns(DeprecationWarning, match="use build"):
        widget = template.build_basic()

    assert type(widget) is BasicRoot
    assert widget.model_dump() == data
    assert "at $.align" in caplog.text
    with pytest.warns(DeprecationWarning), pytest.raises(ValidationError):
        template_of('{"type": "Card", "children": []}').build_basic()


def test_template_is_used_when_its_schema_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_widget(tmp_path, template='{"type": "Basic"}', jsonSchema={"type": "text"})

    assert WidgetTemplate.from_file(path).build().model_dump() == {"type": "Basic"}

    assert "'x' has no usable jsonSchema" in caplog.text


def test_failure_is_told_in_full_when_a_template_fails(caplog: pytest.LogCaptureFixture) -> None:
    template = WidgetTemplate.from_file("templates/tasks.widget")

    with pytest.raises(UndefinedError) as caught:
        template.build({"tasks": [{"title": "A", "done": True}]})

    (note,) = caught.value.__notes__
    assert note.startswith("while the widget template 'Tasks' (")
    record = caplog.records[-1]
    assert (record.levelname, record.exc_info is not None) == ("ERROR", True)
    assert "templates/tasks.widget) failed" in record.getMessage()
    assert "has no attribute 'id'" in caplog.text


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
    ],
)
def test_file_and_line_are_named_when_a_definition_is_wrong(
    tmp_path: Path, changes: dict[str, Any], line: int, message: str
) -> None:
    path = write_widget(tmp_path, **changes)

    with pytest.raises(WidgetTemplateError, match=f"broken.widget:{line}: {message}"):
        WidgetTemplate.from_file(path)


def test_file_and_line_are_named_when_a_strict_template_has_no_schema(tmp_path: Path) -> None:
    path = write_widget(tmp_path, jsonSchema={"type": "text"})

    message = r"broken.widget:5: jsonSchema is no JSON schema at \$\.type"
    with pytest.raises(WidgetTemplateError, match=message):
        WidgetTemplate.from_file(path, strict=True)


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

    template.build({})
    with pytest.raises(WidgetDataError, match="Unresolvable"):
        template.build({}, strict=True)

    assert asked == []
