"""The wire: items, events, requests, ids, and how they become bytes."""
