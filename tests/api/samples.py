"""An item of each kind that the server API shows, as the page gets them."""

_COMMON = {"id": "id_1", "thread_id": "thr_1", "created_at": "2026-11-21T10:00:00.123456Z"}

ITEMS = [
    {
        **_COMMON,
        "type": "user_message",
        "content": [
            {"type": "input_text", "text": "Hello"},
            {"type": "input_tag", "id": "u_1", "text": "Ada", "data": {"x": 1}},
        ],
        "quoted_text": "what you said",
        "attachments": [
            {
                "type": "image",
                "id": "atc_1",
                "name": "a.png",
                "mime_type": "image/png",
                "preview_url": "https://files.example/a.png",
            },
            {"type": "file", "id": "atc_2", "name": "a.txt", "mime_type": "text/plain"},
        ],
        "inference_options": {"model": "m", "tool_choice": {"id": "t"}},
    },
    {
        **_COMMON,
        "type": "assistant_message",
        "content": [
            {
                "type": "output_text",
                "text": "Hi",
                "annotations": [
                    {"source": {"type": "file", "title": "A", "filename": "a.txt"}, "index": 1},
                    {"source": {"type": "url", "title": "B", "url": "https://b.example"}},
                    {"source": {"type": "entity", "title": "C", "id": "c_1"}},
                ],
            }
        ],
    },
    {
        **_COMMON,
        "type": "widget",
        "widget": {"type": "Card", "children": [{"type": "Text", "value": "Hi"}]},
    },
    {
        **_COMMON,
        "type": "client_tool_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "open",
        "arguments": {"place": "here"},
        "output": {"ok": True},
    },
    {
        **_COMMON,
        "type": "client_tool_call",
        "call_id": "call_2",
        "name": "open",
        "arguments": {},
    },
    {**_COMMON, "type": "task", "task": {"type": "thought", "content": "Hm", "title": "T"}},
    {**_COMMON, "type": "task", "task": {"type": "web_search", "title": "Looking"}},
    {
        **_COMMON,
        "type": "workflow",
        "workflow": {"type": "reasoning", "tasks": [{"type": "thought", "content": "Hm"}]},
    },
]
