"""Two JSON schemas side by side.

References are followed on both sides at once, and a pair of them only once, so recursive widgets
end. A difference is reported under the class it is in, not under every path that leads there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

ANNOTATIONS = ("title", "description", "$defs")
TELLING_APART = ("title", "const", "pattern", "format", "type")
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One place in which the schemas differ; each side as short text."""

    path: str
    official: str
    ours: str

    def __str__(self) -> str:
        return f"{self.path}: official {self.official} | ours {self.ours}"


class SchemaPair:
    """Compares schemas of the official package with ours; each side has its definitions."""

    def __init__(self, official_definitions: Schema, our_definitions: Schema) -> None:
        self._official_defs = official_definitions
        self._our_defs = our_definitions
        self._compared: set[tuple[str, str]] = set()

    def differences(self, name: str, official: Schema, ours: Schema) -> list[Difference]:
        """Return the differences in the type called ``name``, and in every class it is made of."""
        self._compared.clear()
        return list(self.compare(name, official, ours))

    def compare(self, path: str, official: Any, ours: Any) -> Iterator[Difference]:
        """Yield the differences between two schemas found under ``path``."""
        if not (isinstance(official, dict) and isinstance(ours, dict)):
            if official != ours:
                yield Difference(path, repr(official), repr(ours))
            return
        references = official.get("$ref", ""), ours.get("$ref", "")
        if all(references):
            if references in self._compared:
                return
            self._compared.add(references)
        official = _resolve(official, self._official_defs)
        ours = _resolve(ours, self._our_defs)
        path = official.get("title", path) if references[0] else path
        for key in dict.fromkeys((*official, *ours)):
            if key not in ANNOTATIONS:
                yield from self._compare_key(path, key, official.get(key), ours.get(key))

    def _compare_key(self, path: str, key: str, official: Any, ours: Any) -> Iterator[Difference]:
        match key:
            case "properties":
                yield from self._compare_named(path, official or {}, ours or {})
            case "required" | "enum":
                yield from _compare_sets(f"{path}.{key}", official, ours)
            case "anyOf" | "oneOf":
                variants = (
                    self._label(official, self._official_defs),
                    self._label(ours, self._our_defs),
                )
                yield from self._compare_named(f"{path}|", *variants)
            case "discriminator":  # its mapping says the same as the variants
                names = [(each or {}).get("propertyName") for each in (official, ours)]
                yield from self.compare(f"{path}.{key}", *names)
            case "items" | "additionalProperties":
                yield from self.compare(f"{path}[{key}]", _or_absent(official), _or_absent(ours))
            case _:
                if official != ours:
                    yield Difference(f"{path}.{key}", _show(official), _show(ours))

    def _compare_named(self, path: str, official: Schema, ours: Schema) -> Iterator[Difference]:
        for name in dict.fromkeys((*official, *ours)):
            place = f"{path}{name}" if path.endswith("|") else f"{path}.{name}"
            if name not in official or name not in ours:
                yield Difference(place, _presence(name, official), _presence(name, ours))
            else:
                yield from self.compare(place, official[name], ours[name])

    def _label(self, variants: list[Schema] | None, definitions: Schema) -> Schema:
        """Return union variants by what tells them apart, so that their order is of no account."""
        labelled: Schema = {}
        for variant in variants or []:
            resolved = _resolve(variant, definitions)
            found = (resolved[key] for key in TELLING_APART if key in resolved)
            labelled[str(next(found, "union"))] = variant
        if len(labelled) != len(variants or []):
            raise ValueError(f"Cannot tell the variants of a union apart: {variants}")
        return labelled


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")] | rest
    return schema


def _compare_sets(path: str, official: Any, ours: Any) -> Iterator[Difference]:
    official, ours = set(official or ()), set(ours or ())
    if official != ours:
        yield Difference(path, f"has {sorted(official - ours)}", f"has {sorted(ours - official)}")


def _presence(name: str, schema: Schema) -> str:
    return "present" if name in schema else ABSENT


def _show(value: Any) -> str:
    return ABSENT if value is None else repr(value)


def _or_absent(value: Any) -> Any:
    return ABSENT if value is None else value
