"""Widgets from `.widget` files: a Jinja template that renders to JSON, and a schema of its data.

ValueError
└── WidgetTemplateError    the file or the definition is wrong: where, and what
    └── WidgetDataError    the data does not fit the template's schema: at which path, and why
"""

import inspect
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import Any, Self, cast

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from referencing.jsonschema import EMPTY_REGISTRY
from typing_extensions import deprecated

from app.chatkit.widgets.layout import BasicRoot, DynamicWidgetRoot

SUPPORTED_VERSION = "1.0"


def _dump_json(value: Any, **options: Any) -> str:
    return json.dumps(value, default=_to_jsonable, **options)


def _to_jsonable(value: object) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises the error that names the variable
    return to_jsonable_python(value)


# Sandboxed, since a template may come from an editor and not from the team's own hands.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
_ENVIRONMENT.policies["json.dumps_function"] = _dump_json


class WidgetTemplateError(ValueError):
    """A widget definition cannot be used. `key` is the part of it that is to blame, if one is."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class WidgetDataError(WidgetTemplateError):
    """The data for a widget does not fit the `jsonSchema` of its template."""


class WidgetTemplate:
    """Builds widgets out of data.

    `WidgetTemplate.from_file("weather.widget").build({"city": "Riga"})`; the path is relative to
    the file that the call is in. A definition that is already parsed goes to the constructor.
    There `template` may also be a compiled Jinja template, which then is as safe as the
    environment it comes from.
    """

    def __init__(self, definition: Mapping[str, Any]) -> None:
        for key in ("version", "name", "template"):
            if key not in definition:
                raise WidgetTemplateError(f'"{key}" is missing')
        self.version: str = definition["version"]
        if self.version != SUPPORTED_VERSION:
            raise WidgetTemplateError(
                f"version {self.version!r} is not supported, only {SUPPORTED_VERSION!r}",
                key="version",
            )
        self.name: str = definition["name"]
        self.template = _compile(definition["template"])
        self.data_schema: dict[str, Any] = definition.get("jsonSchema") or {}
        self._validator = _create_validator(self.data_schema)

    @classmethod
    def from_file(cls, file_path: str | Path) -> Self:
        """The template in a file; read and compiled once, and again when the file has changed."""
        path = Path(file_path)
        frame = inspect.currentframe()
        if not path.is_absolute() and frame is not None and frame.f_back is not None:
            path = Path(frame.f_back.f_code.co_filename).resolve().parent / path
        return cast(Self, _load_file(cls, path, path.stat().st_mtime_ns))

    def build(self, data: Mapping[str, Any] | BaseModel | None = None) -> DynamicWidgetRoot:
        """The widget for `data`, which must fit the template's schema."""
        return DynamicWidgetRoot.model_validate(self._render(data))

    @deprecated("build_basic is deprecated, use build")
    def build_basic(self, data: Mapping[str, Any] | BaseModel | None = None) -> BasicRoot:
        """The widget for `data` as a `BasicRoot`."""
        return BasicRoot.model_validate(self._render(data))

    def _render(self, data: Mapping[str, Any] | BaseModel | None) -> Any:
        values = data.model_dump() if isinstance(data, BaseModel) else dict(data or {})
        self._check_data(values)
        try:
            rendered = self.template.render(values)
        except TemplateError as error:
            error.add_note(f"while the widget template {self.name!r} was rendered")
            raise
        try:
            return json.loads(rendered)
        except json.JSONDecodeError as error:
            line = rendered.splitlines()[error.lineno - 1] if rendered else ""
            raise WidgetTemplateError(
                f"the widget template {self.name!r} did not render to JSON: {error.msg} "
                f"at line {error.lineno}: {shorten(line, 80)!r}",
                key="template",
            ) from error

    def _check_data(self, values: dict[str, Any]) -> None:
        if not self.data_schema:
            return
        plain = to_jsonable_python(values, serialize_unknown=True)
        try:
            self._validator.validate(plain)
        except ValidationError as error:
            raise WidgetDataError(
                f"the data for the widget template {self.name!r} is wrong at {error.json_path}: "
                f"{shorten(error.message, 200)}"
            ) from error


def _compile(template: Any) -> Template:
    if isinstance(template, Template):
        return template
    if not isinstance(template, str):
        raise WidgetTemplateError("the template is no text", key="template")
    try:
        return _ENVIRONMENT.from_string(template)
    except TemplateSyntaxError as error:
        raise WidgetTemplateError(
            f"the template is wrong in its line {error.lineno}: {error.message}", key="template"
        ) from error


def _create_validator(schema: Any) -> Any:  # jsonschema's type stubs are incomplete
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise WidgetTemplateError(
            f"jsonSchema is no JSON schema at {error.json_path}: {shorten(error.message, 200)}",
            key="jsonSchema",
        ) from error
    # The empty registry keeps a `$ref` from being fetched over the network.
    return Draft202012Validator(schema, registry=EMPTY_REGISTRY)


@lru_cache(maxsize=256)
def _load_file(
    template_class: type[WidgetTemplate], path: Path, _modified_ns: int
) -> WidgetTemplate:
    source = path.read_text(encoding="utf-8")
    try:
        definition = json.loads(source)
    except json.JSONDecodeError as error:
        raise WidgetTemplateError(
            f"{path}:{error.lineno}: no JSON at column {error.colno}: {error.msg}"
        ) from error
    if not isinstance(definition, dict):
        raise WidgetTemplateError(f"{path}:1: a JSON object is expected")
    try:
        return template_class(cast(dict[str, Any], definition))
    except WidgetTemplateError as error:
        line = _line_of(error.key, source)
        raise WidgetTemplateError(f"{path}:{line}: {error}", key=error.key) from error


def _line_of(key: str | None, source: str) -> int:
    found = re.search(rf'"{key}"\s*:', source) if key else None
    return source.count("\n", 0, found.start()) + 1 if found else 1
