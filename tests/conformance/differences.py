"""The deliberate differences from openai-chatkit 1.6.5, each with its reason.

Numbers in brackets are those of the defects of the official SDK that ours does not have. The tests
fail for a difference that is not listed, and for an entry that no longer occurs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

NAMES_OF_OURS: Mapping[str, str] = {
    "errors": "InvalidRequestError NotFoundError RequestRefusedError ThreadBusyError "
    "ThreadConflictError TooManyRunsError UnprocessableError UnsupportedError",
    "server": "INTERRUPTED_NOTE STOPPED_NOTE clamp_limit parse_request",
    "store": "AttachmentContent",
    "widgets": "Table TableCell TableRow",
}
"""Module -> what can be imported from ours and not from the official one."""

CONSTANT_DIFFERENCES: Mapping[str, str] = {
    "server.DEFAULT_ERROR_MESSAGE": "a text of our own, which neither package shows to anybody",
}
"""``module.NAME`` whose value differs -> reason."""

SCHEMA_DIFFERENCES: Mapping[str, str] = {
    "*.deprecated": "widgets built by name are as good as those of a template here",
    "**|Table": "a component that the frontend's own types have",
    "**|TableCell": "see Table",
    "**|TableRow": "see Table",
    "Action*.required": "[17] an action without a type is refused",
    "BasicRoot.*": "props that the client's own types have since 1.9",
    "Card.border": "see BasicRoot",
    "Chart.data*|null": "a row of data may have a gap",
    "UserMessageTagContent.required": "a page need not give a tag any data",
}
"""Path in a schema -> reason. ``*`` stands for a text without a dot, ``**`` for any text."""

FIELD_DIFFERENCES: Mapping[str, str] = {
    "actions.Action.type": "[17] an action without a type is refused",
    "types.Action.type": "see actions",
    "types.UserMessageTagContent.data": "a page need not give a tag any data",
}
"""``module.Class.field`` whose default, alias or mutability differs -> reason."""

SIGNATURE_DIFFERENCES: Mapping[str, str] = {
    "agents.simple_to_agent_input": "awaited either way",
    "widgets.*.serialize": "a hook of pydantic, which nobody calls",
    "widgets.WidgetTemplate.*": "`strict` refuses what is otherwise taken with a warning",
}
"""``module.name`` or ``module.Class.method`` -> reason."""


@dataclass(frozen=True)
class Rewording:
    """What is in other words, or in more words, on one side: it is replaced before comparing."""

    reason: str
    pattern: str
    replacement: str = ""

    def apply(self, lines: list[str]) -> list[str]:
        """Return the lines with the replacement made; a line of which nothing is left goes."""
        reworded = [re.sub(self.pattern, self.replacement, line) for line in lines]
        return [line for line in reworded if line]


REWORDINGS = (
    Rewording(
        "[15] a tool's call and output stay in the thread, hidden, for the turns to come",
        r'^end sdk_hidden_context .*"id": "call_.*$',
    ),
    Rewording(
        "the note for the model is in our own words",
        r'("content": ")[^"]*(", "created_at": "<time>", "id": "<shcx)',
        r"\1<note>\2",
    ),
    Rewording(
        "an unknown failure names the id of its entry in the log",
        r'(?<="code": "stream.error", )"message": "[^"]*<err \d+>[^"]*", ',
    ),
    Rewording("[2] a run that failed or was left goes on", "^end tasks are left behind$"),
)


@dataclass(frozen=True)
class Deliberate:
    """The lines of a scenario that only one side has: ``-`` the official one, ``+`` ours.

    A line is given by its beginning; ``*`` stands for any text.
    """

    reason: str
    lines: tuple[str, ...]

    def __init__(self, reason: str, *lines: str) -> None:
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "lines", lines)

    def covers(self, found: list[str]) -> bool:
        """Return whether the lines found are those declared, in their order."""
        if len(found) != len(self.lines):
            return False
        return all(_begins_like(*pair) for pair in zip(found, self.lines, strict=True))


def _begins_like(line: str, pattern: str) -> bool:
    return re.match(".*".join(map(re.escape, pattern.split("*"))), line) is not None


BEHAVIOUR_DIFFERENCES: Mapping[str, Deliberate] = {
    # --- tools -----------------------------------------------------------------------------------
    "tool_streams_events": Deliberate(
        "[15] a tool's change to the thread is noticed when its call is remembered",
        "+ 1 thread.updated",
        "- 1 thread.updated",
    ),
    # --- requests that cannot be carried out -----------------------------------------------------
    "locked_thread": Deliberate(
        "[17] a locked thread takes no messages",
        "- 2 thread.item.done user_message",
        "- 2 stream_options",
        "- 2 thread.item.done assistant_message",
        "+ 2 raises refused",
        "- end user_message",
        "- end assistant_message",
    ),
    "message_with_an_unknown_attachment_in_a_new_thread": Deliberate(
        "[4] a refused request leaves nothing behind",
        "- 1 thread.created",
        '- 2 answer *"id": "<thr 1>"',
        "- end thread",
        '+ 2 answer {"data": []',
    ),
    "action_of_an_item_that_is_no_widget": Deliberate(
        "[4] it is refused before the stream begins", "- 2 error", "+ 2 raises refused"
    ),
    "action_without_a_type": Deliberate(
        "[17] it is refused, whatever the server does with actions",
        "- 2 raises unsupported",
        "+ 2 raises refused",
    ),
    "action_that_the_widget_does_not_offer": Deliberate(
        "[18] what a client sends is not trusted: a stored widget must offer it",
        "- 2 thread.item.done assistant_message",
        "- 2 thread.updated",
        "+ 2 error",
        "- 3 answer",
        '- end thread *"extra"',
        "+ 3 raises refused",
        "+ end thread",
        "- end assistant_message",
    ),
    "actions_without_a_handler": Deliberate(
        "another try would not help, and the text says why",
        '- 2 error {"allow_retry": true, "code": "stream.error"',
        '+ 2 error {"allow_retry": false, "code": "custom", "message"',
    ),
    "limits_out_of_range": Deliberate(
        "[17] a negative limit is refused",
        "- 2 answer",
        "+ 2 raises refused",
        "- 3 answer",
        "+ 3 raises refused",
    ),
    "retry_of_an_unknown_item": Deliberate(
        "[17] it is not found, rather than a stream without an event", "+ 2 raises not found"
    ),
    "speech_that_is_no_base64": Deliberate(
        "[17] base64 is validated", '- 1 answer {"text": "noise"', "+ 1 raises refused"
    ),
    "attachment_of_another_thread": Deliberate(
        "[18] it stays where it is",
        "- 3 thread.created",
        "- 3 thread.item.done user_message",
        "- 3 stream_options",
        "- 3 thread.item.done assistant_message",
        "+ 3 raises refused",
        '- end thread *"<thr 2>"',
        '- end user_message *"<thr 2>"',
        '- end assistant_message *"<thr 2>"',
        '- end attachment *"thread_id": "<thr 2>"',
        '+ end attachment *"thread_id": "<thr 1>"',
    ),
    "attachment_that_is_named_twice": Deliberate(
        "a message holds a file once",
        "- 2 thread.created",
        "- 2 thread.item.done user_message",
        "- 2 stream_options",
        "- 2 thread.item.done assistant_message",
        "- end thread",
        "- end user_message",
        "- end assistant_message",
        '- end attachment *"thread_id": "<thr 1>"',
        "+ 2 raises refused",
        "+ end attachment",
    ),
    "text_cannot_be_stored": Deliberate(
        "NUL and half characters become U+FFFD, on their way in and out",
        r'- 1 thread.item.done user_message *"a\u0000b"',
        '+ 1 thread.item.done user_message *"a\N{REPLACEMENT CHARACTER}b"',
        r'- 1 thread.item.done assistant_message *"a\u0000b"',
        '+ 1 thread.item.done assistant_message *"a\N{REPLACEMENT CHARACTER}b"',
        "- 2 raises refused",
        '+ 2 thread.item.done assistant_message *"a\N{REPLACEMENT CHARACTER}b"',
        r'- end user_message *"a\u0000b"',
        '+ end user_message *"a\N{REPLACEMENT CHARACTER}b"',
    ),
    # --- items and pages -------------------------------------------------------------------------
    "hidden_items_across_pages": Deliberate(
        "[16] a page is full, and its cursor is visible",
        '- 2 answer {"after": "hidden_0"',
        '+ 2 answer *"answer_1"*"has_more": false',
    ),
    "hidden_items_are_announced": Deliberate(
        "[16] hidden items stay hidden",
        "- 1 thread.item.added hidden_context_item",
        "- 1 thread.item.replaced hidden_context_item",
    ),
    "items_are_left_unfinished": Deliberate(
        "what the client has seen is stored and ended, and what shows nothing is taken back",
        '+ 1 thread.item.done assistant_message *"answer_1"',
        '+ 1 thread.item.removed *"answer_2"',
        '+ 1 thread.item.done widget *"widget_1"',
        "- 2 answer",
        '+ 2 answer *"widget_1"*"answer_1"',
        '+ end assistant_message *"answer_1"',
        '+ end widget *"widget_1"',
    ),
    "update_with_a_wrong_task_index": Deliberate(
        "[7] the stream goes on",
        "- 1 error",
        "+ 1 thread.item.updated workflow.task.updated",
        "+ 1 thread.item.done workflow",
        "+ end workflow",
    ),
    "stored_widget_is_updated": Deliberate(
        "[19] the store gets the update as well",
        '- end widget *"value": "a"',
        '+ end widget *"value": "b"',
    ),
    # --- failures and broken connections ---------------------------------------------------------
    "failure_in_the_middle_of_a_text": Deliberate(
        "[5] text that was seen is kept, all else is taken back",
        '+ 1 thread.item.done assistant_message *"Half"',
        '+ 1 thread.item.removed *"widget_1"',
        "- 2 answer",
        '+ 2 answer *"Half"',
        '+ end assistant_message *"Half"',
    ),
    "provider_fails_in_the_middle_of_a_text": Deliberate(
        "[5] text that was seen is kept",
        '+ 1 thread.item.done assistant_message *"Half"',
        "- 2 answer",
        '+ 2 answer *"Half"',
        '+ end assistant_message *"Half"',
    ),
    "provider_reports_a_failure": Deliberate(
        "[12] the user learns what happened",
        '- 1 error *"stream.error"',
        '+ 1 error *"custom", "message"',
    ),
    "provider_takes_too_long": Deliberate(
        "the user learns what happened",
        '- 1 error *"stream.error"',
        '+ 1 error *"custom", "message"',
    ),
    "stream_is_read_from_many_tasks": Deliberate("[6] whoever reads the stream", "- 1 error"),
    "reader_disconnects": Deliberate(
        "[1] a scope that cancels every wait does not reach the clean-up",
        '+ end assistant_message *"Half a text"',
        "+ end sdk_hidden_context",
    ),
    "model_stream_is_closed": Deliberate(
        "[1] a closed generator is a cancelled stream",
        '+ end assistant_message *"Half"',
        "+ end sdk_hidden_context",
    ),
    "stream_is_closed": Deliberate(
        "[1] a closed generator is a cancelled stream",
        '+ end assistant_message *"Half a text"',
        "+ end sdk_hidden_context",
    ),
    "title_is_set_before_a_cancel": Deliberate(
        "[1] the title is saved", "- end thread", '+ end thread *"title": "Kept"'
    ),
    # --- widgets ---------------------------------------------------------------------------------
    "widget_is_replaced_while_it_streams": Deliberate(
        "the smallest update that the protocol has",
        "- 1 thread.item.updated widget.root.updated",
        "+ 1 thread.item.updated widget.component.updated",
    ),
    "widget_text_ends_with_streaming_off": Deliberate(
        "the smallest update that the protocol has",
        "- 1 thread.item.updated widget.root.updated",
        '+ 1 thread.item.updated widget.streaming_text.value_delta *" more", "done": true',
    ),
    "model_text_is_shown_in_a_widget": Deliberate(
        "the smallest update that the protocol has",
        "- 1 thread.item.updated widget.root.updated",
        '+ 1 thread.item.updated widget.streaming_text.value_delta *"", "done": true',
    ),
    "widget_text_without_an_id_grows": Deliberate(
        "[20] what has no id is shown with the whole", "+ 1 thread.item.updated widget.root.updated"
    ),
    "widget_stream_without_a_state": Deliberate("[20] nothing to show is no failure", "- 1 error"),
    "widget_stream_is_no_generator": Deliberate(
        "[20] any asynchronous iterator will do",
        "- 1 error",
        "+ 1 thread.item.added widget",
        "+ 1 thread.item.updated widget.streaming_text.value_delta",
        "+ 1 thread.item.done widget",
        "+ end widget",
    ),
    "property_appears_while_a_widget_streams": Deliberate(
        "[20] a new property is a difference like any other",
        "- 1 error",
        "+ 1 thread.item.updated widget.root.updated",
        "+ 1 thread.item.done widget",
        "+ end widget",
    ),
    "widget_with_nulls_in_an_action": Deliberate(
        "[19] a payload stays as it is",
        '- 1 thread.item.done widget *"payload": {"list": [1]}',
        '+ 1 thread.item.done widget *"payload": {"a": null, "list": [null, 1]}',
        '- end widget *"payload": {"list": [1]}',
        '+ end widget *"payload": {"a": null, "list": [null, 1]}',
    ),
    # --- messages of the model -------------------------------------------------------------------
    "text_is_streamed_over_several_turns": Deliberate(
        "an empty delta says nothing",
        '- 3 thread.item.updated assistant_message.content_part.text_delta *"delta": ""',
    ),
    "message_ids_are_placeholders": Deliberate(
        "[8] every message has an id of its own",
        *4 * ('- 1 thread.item.*"__fake_id__"',),
        *4 * ('+ 1 thread.item.*"<msg 2>"',),
        '- 2 thread.item.done user_message *"<msg 2>"',
        '+ 2 thread.item.done user_message *"<msg 3>"',
        *4 * ('- 2 thread.item.*"__fake_id__"',),
        *4 * ('+ 2 thread.item.*"<msg 4>"',),
        '- end assistant_message *"Two"*"__fake_id__"',
        '- end user_message *"<msg 2>"',
        '+ end assistant_message *"One"*"<msg 2>"',
        '+ end user_message *"<msg 3>"',
        '+ end assistant_message *"Two"*"<msg 4>"',
    ),
    "model_refuses": Deliberate(
        "[12] a refusal is streamed, and is an answer",
        '+ 1 thread.item.updated assistant_message.content_part.text_delta *"I cannot"',
        '+ 1 thread.item.updated assistant_message.content_part.done *"I cannot"',
        "- 1 error",
    ),
    "answer_is_incomplete": Deliberate(
        "[12] the user learns what happened", "- 1 error", "+ 1 notice"
    ),
    "citations_are_streamed_as_dicts": Deliberate(
        "[11] a part keeps the citations that were streamed",
        '- 1 thread.item.updated assistant_message.content_part.done *"annotations": []',
        '- 1 thread.item.done assistant_message *"annotations": []',
        '+ 1 thread.item.updated assistant_message.content_part.done *"a.txt"*"A"*"b.txt"',
        '+ 1 thread.item.done assistant_message *"a.txt"*"A"*"b.txt"',
        '- end assistant_message *"annotations": []',
        '+ end assistant_message *"a.txt"*"A"*"b.txt"',
    ),
    "citations_are_streamed_as_the_clients_own_classes": Deliberate(
        "[11] classes are of no account",
        "- 1 error",
        "+ 1 thread.item.updated assistant_message.content_part.annotation_added",
        '+ 1 thread.item.updated assistant_message.content_part.done *"https://a.example"',
        '+ 1 thread.item.done assistant_message *"https://a.example"',
        '+ end assistant_message *"https://a.example"',
    ),
    "citations_of_an_unknown_kind": Deliberate(
        "[11] what is unknown is left out",
        "- 1 error",
        "+ 1 thread.item.updated assistant_message.content_part.done",
        "+ 1 thread.item.done assistant_message",
        "+ end assistant_message",
    ),
    # --- workflows, images and tools -------------------------------------------------------------
    "workflow_changes_faster_than_it_is_read": Deliberate(
        "an event shows the state that it was sent for",
        '- 1 thread.item.added workflow *"One"*"Two"',
        '+ 1 thread.item.added workflow *"One"',
    ),
    "workflow_has_two_equal_tasks": Deliberate(
        "[13] equal tasks have places of their own",
        '- 1 thread.item.updated workflow.task.added *"task_index": 0',
        '+ 1 thread.item.updated workflow.task.added *"task_index": 1',
    ),
    "workflow_stays_open_and_goes_on_after_a_client_tool": Deliberate(
        "[13] it is in the store already",
        "- 2 thread.item.done workflow",
        "+ 2 thread.item.replaced workflow",
    ),
    "model_thinks_aloud": Deliberate(
        "[12] reasoning is shown also where it has no summary",
        '- 1 thread.item.done workflow *"tasks": []',
        '+ 1 thread.item.updated workflow.task.added *"Let me "',
        '+ 1 thread.item.updated workflow.task.updated *"Let me see"',
        '+ 1 thread.item.done workflow *"Let me see"',
        '- end workflow *"tasks": []',
        '+ end workflow *"Let me see"',
    ),
    "two_images_are_generated_at_a_time": Deliberate(
        "[13] both are finished, each in its own item",
        '- 1 thread.item.done generated_image *"<msg 3>"*"ig_1"',
        '+ 1 thread.item.done generated_image *"<msg 2>"*"ig_1"',
        '+ 1 thread.item.done generated_image *"<msg 3>"*"ig_2"',
        '- end generated_image *"<msg 3>"*"ig_1"',
        '+ end generated_image *"<msg 2>"*"ig_1"',
        '+ end generated_image *"<msg 3>"*"ig_2"',
    ),
    "image_generation_fails": Deliberate(
        "[13] it does not stay pending", "+ 1 thread.item.removed", "+ 1 notice"
    ),
    "provider_searches_the_web": Deliberate(
        "[12] hosted tools are shown",
        "+ 1 thread.item.added workflow",
        "+ 1 thread.item.updated workflow.task.updated",
        "+ 1 thread.item.done workflow",
        "+ end workflow",
    ),
    "tool_waits_for_an_approval": Deliberate("[12] the user learns what happened", "+ 1 notice"),
    "client_tool_call_has_no_item_id": Deliberate(
        "[8] it gets one",
        "- 1 error",
        "+ 1 thread.item.done client_tool_call",
        "+ end client_tool_call",
    ),
    "client_tool_is_called_beside_another": Deliberate(
        "[14] it is bound to the right call",
        '- 1 thread.item.done client_tool_call *"call_work"*"fc_2"',
        '+ 1 thread.item.done client_tool_call *"call_open"*"fc_1"',
        '- end client_tool_call *"call_work"*"fc_2"',
        '+ end client_tool_call *"call_open"*"fc_1"',
    ),
    "client_tool_is_left_unanswered": Deliberate(
        "[14] nothing goes without an event", '+ 3 thread.item.removed *"fc_1"'
    ),
    "two_client_tools_are_called_at_once": Deliberate(
        "[14] none is forgotten: they come one at a time, and the model waits for all outputs",
        '- 1 thread.item.done client_tool_call *"call_close"',
        '+ 1 thread.item.done client_tool_call *"call_open"',
        "- 2 thread.item.added assistant_message",
        "- 2 thread.item.updated assistant_message.content_part.added",
        "- 2 thread.item.updated assistant_message.content_part.text_delta",
        "- 2 thread.item.updated assistant_message.content_part.done",
        "- 2 thread.item.done assistant_message",
        '+ 2 thread.item.done client_tool_call *"call_close"',
        '- 3 answer *"answer_1"',
        '+ 3 answer *"call_close"*"call_open"',
        '- end client_tool_call *"call_close"',
        '- end assistant_message *"answer_1"',
        '+ end client_tool_call *"call_open"',
        '+ end client_tool_call *"call_close"',
    ),
    "hidden_note_stands_behind_the_client_tool_call": Deliberate(
        "[14] the page cannot see it, and answers",
        "- 2 raises refused",
        "+ 2 stream_options",
        "+ 2 thread.item.added assistant_message",
        *3 * ("+ 2 thread.item.updated assistant_message.content_part.",),
        "+ 2 thread.item.done assistant_message",
        '- end client_tool_call *"pending"',
        '+ end client_tool_call *"completed"',
        "+ end assistant_message",
    ),
    # --- model input -----------------------------------------------------------------------------
    "items_become_model_input": Deliberate(
        "[15] a quote is never lost",
        "- 3 the whole thread becomes 12 input items",
        "+ 3 the whole thread becomes 13 input items",
    ),
    "tags_share_their_text": Deliberate(
        "[15] tags are told apart by their ids",
        "- 1 becomes ['user message input_text', 'user message input_text input_text']",
        "+ 1 becomes ['user message input_text', 'user message input_text input_text input_text']",
    ),
    "tags_and_attachments_have_no_converter": Deliberate(
        "[15] there are safe defaults",
        "+ 1 becomes",
        "- 1 error",
        "+ 1 progress_update",
        "+ 3 becomes",
        "- 3 error",
        "+ 3 progress_update",
    ),
}
