"""What a client does with the events of a stream: a second opinion, on plain JSON."""

from typing import Any

Json = dict[str, Any]


class ReferenceClient:
    """Holds the items of one thread by id, in the order in which they were announced."""

    def __init__(self, items: list[Json] | None = None) -> None:
        self._items: dict[str, Json] = {each["id"]: each for each in items or []}
        self.pending: set[str] = set()
        self.events: list[Json] = []

    @property
    def items(self) -> list[Json]:
        return list(self._items.values())

    def apply(self, event: Json) -> None:
        """Change the items as ``event`` says."""
        self.events.append(event)
        match event["type"]:
            case "thread.item.added" | "thread.item.done" | "thread.item.replaced":
                item = event["item"]
                self._items[item["id"]] = item
                (self.pending.add if event["type"].endswith("added") else self._finish)(item["id"])
            case "thread.item.removed":
                self._items.pop(event["item_id"], None)
                self._finish(event["item_id"])
            case "thread.item.updated":
                item = self._items.get(event["item_id"])
                if item is not None:
                    _update(item, event["update"])
            case _:
                pass

    def _finish(self, item_id: str) -> None:
        self.pending.discard(item_id)


def _update(item: Json, update: Json) -> None:
    target, _, kind = update["type"].partition(".")
    match item["type"]:
        case "assistant_message" if target == "assistant_message":
            _update_part(item["content"], update)
        case "workflow" if target == "workflow":
            _update_tasks(item["workflow"]["tasks"], kind, update)
        case "generated_image" if target == "generated_image":
            item["image"] = update["image"]
        case "widget" if kind == "root.updated":
            item["widget"] = update["widget"]
        case "widget" if target == "widget":
            item["widget"]["children"] = [
                _update_component(each, update) for each in item["widget"]["children"]
            ]
        case _:
            pass


def _update_part(parts: list[Json], update: Json) -> None:
    index = update["content_index"]
    if not 0 <= index < 1000:
        return
    while len(parts) <= index:
        parts.append({"annotations": [], "text": "", "type": "output_text"})
    if "delta" in update:
        parts[index]["text"] += update["delta"]
    elif "annotation" in update:
        at = max(update["annotation_index"], 0)
        parts[index]["annotations"].insert(at, update["annotation"])
    else:
        parts[index] = update["content"]


def _update_tasks(tasks: list[Json], kind: str, update: Json) -> None:
    index = update["task_index"]
    if kind == "task.added":
        tasks.insert(max(index, 0), update["task"])
    elif 0 <= index < len(tasks):
        tasks[index] = update["task"]


def _update_component(node: Json, update: Json) -> Json:
    if node.get("id") == update["component_id"]:
        if "component" in update:
            return update["component"]
        changed = {**node, "value": node.get("value", "") + update["delta"]}
        if update["done"] and node.get("streaming"):
            changed["streaming"] = False
        return changed
    if "children" in node:
        children = [_update_component(each, update) for each in node["children"]]
        return {**node, "children": children}
    return node
