"""Widgets from ``.widget`` files: a Jinja template that renders to JSON, and a schema of its data.

ValueError
└── WidgetTemplateError    the file, the definition or what it renders to is wrong: where, and what
    └── WidgetDataError    the data does not fit the template's schema: at which path, and why
"""

import inspect
import json
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import Any, Self, TypeVar, cast

from jinja2 import Template, TemplateSyntaxError
from pydantic import BaseModel, ValidationError
from typing_extensions import deprecated

from app.chatkit.tolerant_model import reported_elsewhere
from app.chatkit.warn_once import warn_once
from app.chatkit.widgets.data_schema import DataSchema, DataSchemaError
from app.chatkit.widgets.dynamic import BasicRoot, DynamicWidgetRoot
from app.chatkit.widgets.faults import find_fault
from app.chatkit.widgets.sandbox import BoundedEnvironment

SUPPORTED_VERSION = "1.0"

_ENVIRONMENT = BoundedEnvironment()

_Root = TypeVar("_Root", DynamicWidgetRoot, BasicRoot)

logger = logging.getLogger("chatkit")


class WidgetTemplateError(ValueError):
    """A widget definition cannot be used. ``key`` is the part of it that is to blame, if one is."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class WidgetDataError(WidgetTemplateError):
    """The data for a widget does not fit the ``jsonSchema`` of its template."""


class WidgetTemplate:
    """Builds widgets out of data.

    ``WidgetTemplate.from_file("weather.widget").build({"city": "Riga"})``; the path is relative to
    the file that the call is in. A definition that is already parsed goes to the constructor.
    There ``template`` may also be a compiled Jinja template, which then is as safe as the
    environment it comes from.

    Data that does not fit the definition's ``jsonSchema``, and a value that a component cannot
    have, are built all the same with a warning; with ``strict`` they are refused.
    """

    def __init__(self, definition: Mapping[str, Any], *, strict: bool = False) -> None:
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
        self.strict = strict
        self.file: Path | None = None
        self.template = _compile(definition["template"])
        self.data_schema: dict[str, Any] = definition.get("jsonSchema") or {}
        self._schema = self._read_schema()

    @classmethod
    def from_file(cls, file_path: str | Path, *, strict: bool = False) -> Self:
        """Return the template in a file; read once, and again when the file has changed."""
        path = Path(file_path)
        frame = inspect.currentframe()
        if not path.is_absolute() and frame is not None and frame.f_back is not None:
            path = Path(frame.f_back.f_code.co_filename).resolve().parent / path
        return cast(Self, _load_file(cls, path, path.stat().st_mtime_ns, strict))

    def build(
        self, data: Mapping[str, Any] | BaseModel | None = None, *, strict: bool | None = None
    ) -> DynamicWidgetRoot:
        """Return the widget for ``data``; ``strict`` is the template's own unless it is given."""
        return self._build(DynamicWidgetRoot, data, strict)

    @deprecated("build_basic is deprecated, use build")
    def build_basic(
        self, data: Mapping[str, Any] | BaseModel | None = None, *, strict: bool | None = None
    ) -> BasicRoot:
        """Return the widget for ``data`` as a ``BasicRoot``."""
        return self._build(BasicRoot, data, strict)

    def _build(
        self,
        root_class: type[_Root],
        data: Mapping[str, Any] | BaseModel | None,
        strict: bool | None,
    ) -> _Root:
        is_strict = self.strict if strict is None else strict
        try:
            values = data.model_dump() if isinstance(data, BaseModel) else dict(data or {})
            data_fits = self._check_data(values, strict=is_strict)
            rendered = self._parse(self.template.render(values))
            if data_fits:  # otherwise the cause is known
                self._check_widget(rendered, strict=is_strict)
            return _load(root_class, rendered)
        except Exception as error:
            # The Agents SDK tells nobody what went wrong inside a tool: here it is told in full.
            error.add_note(f"while the widget template {self._title} was rendered")
            logger.exception("The widget template %s failed", self._title)
            raise

    @property
    def _title(self) -> str:
        return f"{self.name!r} ({self.file})" if self.file is not None else repr(self.name)

    def _parse(self, rendered: str) -> Any:
        try:
            return json.loads(rendered)
        except json.JSONDecodeError as error:
            line = rendered.splitlines()[error.lineno - 1] if rendered else ""
            raise WidgetTemplateError(
                f"the widget template {self.name!r} did not render to JSON: {error.msg} "
                f"at line {error.lineno}: {shorten(line, 80)!r}",
                key="template",
            ) from error

    # --- what is taken with a warning ------------------------------------------------------------

    def _read_schema(self) -> DataSchema | None:
        if not self.data_schema:
            return None
        try:
            return DataSchema(self.data_schema)
        except DataSchemaError as error:
            if self.strict:
                raise WidgetTemplateError(str(error), key="jsonSchema") from error
            warn_once(f"The widget template {self.name!r} has no usable jsonSchema: {error}")
            return None

    def _check_data(self, values: dict[str, Any], *, strict: bool) -> bool:
        fault = self._schema.find_fault(values) if self._schema is not None else None
        if fault is None:
            return True
        what = f"the data for the widget template {self._title} is wrong at {fault}"
        if strict:
            raise WidgetDataError(what)
        warn_once(f"{what[0].upper()}{what[1:]}; it is rendered all the same")
        return False

    def _check_widget(self, rendered: Any, *, strict: bool) -> None:
        fault = find_fault(rendered)
        if fault is None:
            return
        what = f"the widget template {self._title} made a wrong value at {fault.path}"
        if strict:
            raise WidgetTemplateError(f"{what}: {fault.reason}", key="template")
        warn_once(f"{what[0].upper()}{what[1:]}: {fault.reason}")


def _load(root_class: type[_Root], data: Any) -> _Root:
    with reported_elsewhere():
        try:
            return root_class.model_validate(data)
        except ValidationError:
            # A `Basic` whose own props are wrong is one nevertheless.
            root = DynamicWidgetRoot.model_validate(data)
            if root.type != root_class.model_fields["type"].default:
                raise
            return root_class.model_construct(**{**root.__dict__, **(root.model_extra or {})})


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
    except RecursionError as error:
        raise WidgetTemplateError("the template is nested too deep", key="template") from error


@lru_cache(maxsize=256)
def _load_file(
    template_class: type[WidgetTemplate], path: Path, _modified_ns: int, strict: bool
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
        # A subclass with a constructor of the official kind knows nothing of `strict`.
        options: dict[str, Any] = {"strict": True} if strict else {}
        template = template_class(cast(dict[str, Any], definition), **options)
    except WidgetTemplateError as error:
        line = _line_of(error.key, source)
        raise WidgetTemplateError(f"{path}:{line}: {error}", key=error.key) from error
    template.file = path
    return template


def _line_of(key: str | None, source: str) -> int:
    found = re.search(rf'"{key}"\s*:', source) if key else None
    return source.count("\n", 0, found.start()) + 1 if found else 1
