"""The question and the answer of every turn; known to the client too, which checks what it gets."""

DELTA_COUNT = 100
DELTAS = tuple(f" word{number}" for number in range(DELTA_COUNT))
ANSWER = "".join(DELTAS)
QUESTION = "Tell me something that takes a hundred deltas to say, please."

HISTORY_ITEMS = 8
"""How many items of a thread each peer reads back for its model."""
