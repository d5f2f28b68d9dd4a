"""The private methods of the official server, which people override though they are private.

Some are seams here as well, with the official meaning. A subclass that defines one of the others
is refused when its class is created, with what to override instead: nothing would ever call it.
"""

SEAMS = frozenset({"_build_user_message_item", "_to_thread_response"})
"""What may be overridden as with the official package."""

REPLACEMENTS = {
    "_process_streaming_impl": "respond(), action() or get_stream_options()",
    "_process_streaming": "process()",
    "_process_events": "respond() and action(), whose events it handles",
    "_process_non_streaming": "process()",
    "_process_sync_custom_action": "sync_action()",
    "_process_new_thread_item_respond": "respond() and _build_user_message_item()",
    "_apply_structured_input_submission": "respond(), which finds the answers in the thread",
    "_cleanup_pending_client_tool_call": "Store.delete_thread_item()",
    "_apply_assistant_message_update": "handle_stream_cancelled()",
    "_update_pending_items": "handle_stream_cancelled()",
    "_load_full_thread": "_to_thread_response() or Store.load_thread()",
    "_paginate_thread_items_reverse": "Store.load_thread_items()",
    "_serialize": "_to_thread_response(), or process() for whole answers",
    "_get_attachment_store": "attachment_store, the attribute",
}
"""What nothing calls here -> what to override instead."""


def refuse_replaced_methods(subclass: type) -> None:
    """Raise ``TypeError`` for a class that defines what nothing would call."""
    for name in vars(subclass):
        if name in REPLACEMENTS:
            raise TypeError(
                f"{subclass.__qualname__}.{name} would never be called here; "
                f"override {REPLACEMENTS[name]} instead"
            )
