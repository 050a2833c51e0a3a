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


def describe_error(error: BaseException) -> str:
    """Write an error as Python does at the end of a traceback.

    Args:
        error (BaseException): The error.

    Returns:
        str: Such as "ValueError: tau should be > 0, but got 0".
    """
    return f'{type(error).__name__}: {message_of(error)}'


def message_of(error: BaseException) -> str:
    """Get the message of an error.

    Args:
        error (BaseException): The error.

    Returns:
        str: Its message. Python shows that of a KeyError in quotes.
    """
    if isinstance(error, KeyError) and error.args:
        return str(error.args[-1])
    return str(error)


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


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown whose columns also line up as plain text.

    Args:
        header (Sequence[str]): Titles of its columns.
        rows (Sequence[Sequence[str]]): Its cells.

    Returns:
        str: The table.
    """
    widths = _widths([header, *rows])

    def pad(cells: Sequence[str]) -> list[str]:
        return [cell.ljust(width) for cell, width in zip(cells, widths)]

    rule = '|'.join('-' * (width + 2) for width in widths)
    lines = [format_row(pad(header)), f'|{rule}|']
    return '\n'.join([*lines, *(format_row(pad(row)) for row in rows)])


def format_columns(rows: Sequence[Sequence[str]], align: str) -> str:
    """Write a table for the terminal, with two blanks between columns.

    Args:
        rows (Sequence[Sequence[str]]): Its cells, titles included.
        align (str): ``<`` or ``>`` per column: its text is aligned to the
            left or to the right.

    Returns:
        str: The table, without blanks at the ends of its lines.
    """
    widths = _widths(rows)
    lines = [
        '  '.join(
            f'{cell:{side}{width}}'
            for cell, side, width in zip(row, align, widths)
        )
        for row in rows
    ]
    return '\n'.join(line.rstrip() for line in lines)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Width of each column."""
    return [max(map(len, column)) for column in zip(*rows)]
