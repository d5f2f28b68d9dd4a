"""The comparison itself: what it must notice, and what it must not mind."""

from typing import Annotated, Any, Literal, Union

import pytest
from pydantic import BaseModel, Field, TypeAdapter, create_model

from tests.conformance.differences import Deliberate
from tests.conformance.schema_diff import SchemaPair
from tests.conformance.transcript import Transcript, diff_lines

# --- schemas -------------------------------------------------------------------------------------


class Leaf(BaseModel):
    type: Literal["leaf"] = "leaf"


class Twig(BaseModel):
    type: Literal["twig"] = "twig"
    children: list[Union["Twig", Leaf]]


def differing_paths(official: Any, ours: Any) -> list[str]:
    schemas = [TypeAdapter(each).json_schema() for each in (official, ours)]
    pair = SchemaPair(*(schema.get("$defs", {}) for schema in schemas))
    return [each.path for each in pair.differences("Type", *schemas)]


def model(**fields: Any) -> type[BaseModel]:
    return create_model("Type", **fields)


@pytest.mark.parametrize(
    ("official", "ours", "path"),
    [
        (model(a=(int, 1)), model(), "Type.a"),
        (model(a=(int, 1)), model(a=(str, 1)), "Type.a.type"),
        (model(a=(int, 1)), model(a=(int, 2)), "Type.a.default"),
        (model(a=(int, 1)), model(a=(int, ...)), "Type.a.default Type.required"),
        (model(a=(list[int], ...)), model(a=(list[str], ...)), "Type.a[items].type"),
        (model(a=(dict[str, int], ...)), model(a=(dict[str, Any], ...)), "Type.a[additionalPr"),
        (Literal["a", "b"], Literal["a", "c"], "Type.enum"),
        (int | None, int, "Type|integer Type.type"),
        (int | str, int | bool, "Type|string Type|boolean"),
        (model(a=(int, Field(deprecated=True))), model(a=(int, ...)), "Type.a.deprecated"),
        (model(leaf=(Leaf, ...)), model(leaf=(Twig, ...)), "Leaf.type.const"),
        (Annotated[Leaf | Twig, Field(discriminator="type")], Leaf | Twig, "Type|Leaf"),
    ],
)
def test_difference_is_found_when_schemas_differ(official: Any, ours: Any, path: str) -> None:
    found = " ".join(differing_paths(official, ours))
    assert all(each in found for each in path.split())


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        (int | str, str | int),
        (Literal["a", "b"], Literal["b", "a"]),
        (model(a=(int, Field(description="one"))), model(a=(int, Field(description="two")))),
        (Twig, Twig),
    ],
)
def test_no_difference_is_found_when_schemas_mean_the_same(official: Any, ours: Any) -> None:
    assert not differing_paths(official, ours)


# --- transcripts ---------------------------------------------------------------------------------


def delta(text: str) -> dict[str, Any]:
    update = {"type": "assistant_message.content_part.text_delta", "content_index": 0}
    return {"type": "thread.item.updated", "item_id": "a", "update": {**update, "delta": text}}


def lines_of(*events: dict[str, Any]) -> list[str]:
    transcript = Transcript(aware=True)
    transcript.begin("threads.create")
    transcript.add_events(events)
    return transcript.lines[1:]


def removed(item_id: str) -> dict[str, Any]:
    return {"type": "thread.item.removed", "item_id": item_id}


def test_ids_are_told_apart_when_they_are_generated() -> None:
    one, two = "msg_" + "0" * 32, "msg_" + "1" * 8
    other = "msg_" + "a" * 32, "msg_" + "b" * 32
    first = [lines_of(removed(each)) for each in (one, two)]
    assert first == [lines_of(removed(each)) for each in other]
    assert lines_of({"type": "x", "ids": [one, two]}) != lines_of({"type": "x", "ids": [one, one]})


def test_pieces_of_text_are_joined_when_nothing_is_between_them() -> None:
    assert lines_of(delta("a"), delta("b")) == lines_of(delta("ab"))
    assert lines_of(delta("a"), removed("b"), delta("b")) != lines_of(delta("ab"), removed("b"))


def test_order_matters_when_events_are_no_removals() -> None:
    assert lines_of(removed("a"), removed("b")) == lines_of(removed("b"), removed("a"))
    assert lines_of({"type": "x"}, {"type": "y"}) != lines_of({"type": "y"}, {"type": "x"})


@pytest.mark.parametrize("moment", ["2030-01-02T03:04:05", "2030-01-02T03:04:05+01:00", "today"])
def test_time_is_refused_when_it_is_not_in_utc(moment: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        lines_of({"type": "x", "created_at": moment})


def test_difference_is_covered_when_every_line_is_declared() -> None:
    found = diff_lines(["1 a {}", "1 same"], ["1 same", '1 b {"x": 1, "y": 2}'])
    assert Deliberate("", "- 1 a", '+ 1 b *"y": 2').covers(found)
    assert not Deliberate("", "- 1 a").covers(found)
    assert not Deliberate("", "- 1 a", '+ 1 b *"y": 3').covers(found)
    assert not Deliberate("", "+ 1 b", "- 1 a").covers(found)
