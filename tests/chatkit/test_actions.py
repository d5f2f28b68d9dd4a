from typing import Any, Literal

import pytest
from pydantic import BaseModel, ValidationError

from app.chatkit.actions import Action, ActionConfig


class Address(BaseModel):
    street: str
    floor: int | None


Move = Action[Literal["move"], Address]


def test_create_names_the_action_when_its_type_is_declared() -> None:
    address = Address(street="Elm", floor=2)

    config = Move.create(address, handler="client", loading_behavior="self", streaming=False)

    assert config == ActionConfig(
        type="move", payload=address, handler="client", loadingBehavior="self", streaming=False
    )


def test_create_uses_the_defaults_when_only_a_payload_is_given() -> None:
    config = Action[Literal["next"], None].create(None)

    assert config.model_dump() == {
        "type": "next",
        "handler": "server",
        "loadingBehavior": "auto",
        "streaming": True,
    }


@pytest.mark.parametrize(
    "undeclared", [Action, Action[str, Any], Action[Literal["a", "b"], Any]], ids=str
)
def test_create_is_refused_when_the_type_is_not_one_name(undeclared: Any) -> None:
    with pytest.raises(TypeError, match="does not say which action it is"):
        undeclared.create(None)


@pytest.mark.parametrize("action", [Action, Action[str, Any], Move], ids=str)
def test_action_is_refused_when_it_has_no_type(action: Any) -> None:
    with pytest.raises(ValidationError, match="type\n  Field required"):
        action.model_validate({"payload": {"street": "Elm", "floor": 1}})


def test_action_is_refused_when_its_type_is_another_one() -> None:
    with pytest.raises(ValidationError, match="Input should be 'move'"):
        Move.model_validate({"type": "remove", "payload": {"street": "Elm", "floor": 1}})


def test_payload_is_parsed_when_a_model_is_declared_for_it() -> None:
    action = Move.model_validate({"type": "move", "payload": {"street": "Elm", "floor": None}})

    assert action.payload == Address(street="Elm", floor=None)


def test_payload_is_none_when_the_client_sends_none() -> None:
    assert Action[str, Any].model_validate({"type": "next"}).payload is None


def test_type_cannot_be_changed_when_the_action_exists() -> None:
    action = Action[str, Any](type="next")

    with pytest.raises(ValidationError, match="frozen"):
        action.type = "other"


@pytest.mark.parametrize(
    "payload",
    [
        {"a": None, "items": [1, None, {"b": None}]},
        [None, None],
        Address(street="Elm", floor=None),
        {"address": Address(street="Elm", floor=None)},
    ],
    ids=["dict", "list", "model", "nested model"],
)
def test_nulls_in_a_payload_are_kept_when_nulls_are_excluded(payload: Any) -> None:
    config = ActionConfig(type="move", payload=payload)

    dumped = ActionConfig.model_validate_json(config.model_dump_json(exclude_none=True))

    def plain(value: Any) -> Any:
        return value.model_dump() if isinstance(value, BaseModel) else value

    expected = (
        {key: plain(each) for key, each in payload.items()}
        if (isinstance(payload, dict))
        else plain(payload)
    )
    assert dumped.payload == expected
