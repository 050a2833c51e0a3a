"""Text of messages."""
from typing import Sequence


def shorten(items: Sequence[str], limit: int = 3) -> str:
    """Name the first of many items, and tell how many more there are.

    Args:
        items (Sequence[str]): The items.
        limit (int): How many are named at most. Defaults to 3.

    Returns:
        str: Such as "a, b, c and 2 more", or "nothing" for no items.
    """
    text = ', '.join(items[:limit]) or 'nothing'
    more = len(items) - limit
    return f'{text} and {more} more' if more > 0 else text
