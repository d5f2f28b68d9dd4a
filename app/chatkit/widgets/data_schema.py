"""Whether data fits a JSON schema, as far as templates care.

An optional property that is null counts as absent. Templates and their data are written that way:
what is null there is left out.
"""

from collections.abc import Callable
from textwrap import shorten
from typing import Any, cast

from jsonschema import Draft202012Validator, SchemaError, exceptions, validators
from pydantic_core import to_jsonable_python
from referencing.jsonschema import EMPTY_REGISTRY

# Keywords that look at the properties which an object has.
_ABOUT_PROPERTIES = (
    "additionalProperties",
    "dependentRequired",
    "dependentSchemas",
    "maxProperties",
    "minProperties",
    "patternProperties",
    "properties",
    "propertyNames",
    "unevaluatedProperties",
)

Keyword = Callable[[Any, Any, Any, Any], Any]


class DataSchemaError(ValueError):
    """A schema is none."""


class DataSchema:
    """A schema that data is checked with."""

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise DataSchemaError(
                f"jsonSchema is no JSON schema at {error.json_path}: {shorten(error.message, 200)}"
            ) from error
        # The empty registry keeps a `$ref` from being fetched over the network.
        self._validator = _SparseValidator(schema, registry=EMPTY_REGISTRY)

    def find_fault(self, values: dict[str, Any]) -> str | None:
        """Return where the data does not fit, and why: ``$.city: 7 is not of type 'string'``."""
        try:
            plain = to_jsonable_python(values, serialize_unknown=True)
            error = _best_match(self._validator.iter_errors(plain))
        except Exception as error:  # a reference to nowhere, data that holds itself
            return f"$: it cannot be checked: {shorten(str(error), 200)}"
        if error is None:
            return None
        return f"{error.json_path}: {shorten(error.message, 200)}"


def _sparse(keyword: Keyword) -> Keyword:
    """Return a keyword of a schema for which optional properties that are null do not exist."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if isinstance(instance, dict):
            required = schema.get("required", ())
            instance = {
                name: each
                for name, each in cast("dict[str, Any]", instance).items()
                if each is not None or name in required
            }
        return keyword(validator, value, instance, schema)

    return check


# Typed apart, since the stubs of jsonschema are incomplete.
_best_match: Callable[[Any], Any] = cast("Any", exceptions).best_match
_KEYWORDS: dict[str, Keyword] = cast("Any", Draft202012Validator).VALIDATORS
_SparseValidator: Any = cast("Any", validators).extend(
    Draft202012Validator, {name: _sparse(_KEYWORDS[name]) for name in _ABOUT_PROPERTIES}
)
