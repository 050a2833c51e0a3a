"""Text of messages and tables."""

from collections.abc import Sequence


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


def format_row(cells: Sequence[str]) -> str:
    """Write a row of a table in Markdown.

    Args:
        cells (Sequence[str]): Its cells.

    Returns:
        str: The row, such as "| a | b |".
    """
    return f'| {" | ".join(cells)} |'


def format_header(titles: Sequence[str]) -> str:
    """Write the first two rows of a table in Markdown.

    Args:
        titles (Sequence[str]): Titles of its columns.

    Returns:
        str: The titles, and the line below them.
    """
    return f'{format_row(titles)}\n|{"-|" * len(titles)}'
