"""How the items of a thread are told to the model, where the defaults are not enough."""

from app.chatkit.converters import InputItems, ThreadItemConverter, fence, text_part, user_message
from app.chatkit.items import WidgetItem


class AssistantConverter(ThreadItemConverter):
    """Has a hook for each kind of item; override those where the model should be told otherwise.

    Your own entities are a good reason (``tag_to_message_content``), and so are files that the
    model is to read (``attachment_to_message_content``).
    """

    async def widget_to_input(self, item: WidgetItem) -> InputItems:
        """Return what a widget says, where it can be copied as text; else the whole of it."""
        if not item.copy_text:
            return await super().widget_to_input(item)
        text = fence("Widget", item.copy_text)
        return user_message(text_part(f"The user was shown this widget (id: {item.id}):\n{text}"))
