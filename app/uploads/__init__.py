"""The bytes of attachments: received, checked, stored, shown, removed."""
