"""Fill tables in Markdown files with results."""

import re
from collections.abc import Iterable
from operator import methodcaller
from pathlib import Path
from typing import Optional

from mmdskd.utils.files import write_atomically

from .results import Result, format_settings
from .statistics import format_mean_std

OURS = 'ours'
# Markdown: the bars between cells, the rule below the head of a table, and
# what may be the name of a config
BAR = re.compile(r'(?<!\\)\|')
RULE = re.compile(r'\|[|:\s-]*-[|:\s-]*')
WORD = re.compile(r'[\w-]+')


def format_cell(result: Result) -> str:
    """Write a result for the column "ours" of a README."""
    number = len(result.runs)
    return (
        f'{format_mean_std(result.last)} / '
        f'{format_mean_std(result.best)} '
        f'({number} seed{"s" if number > 1 else ""})'
    )


def fill_readme(text: str, cells: dict[str, str]) -> tuple[str, set[str]]:
    """Fill the column "ours" of the tables in a markdown text.

    A row is about the config whose name or link is in it. Rows of other
    configs stay as they are.

    Args:
        text (str): The text.
        cells (dict[str, str]): What to fill in, by name of the config.

    Returns:
        tuple: The new text, and the configs that have a row in it.

    Raises:
        ValueError: If no table has such a column, or if a row is about
            several configs or has too few cells.
    """
    lines = text.splitlines(keepends=True)
    filled: set[str] = set()
    columns = [find_column(*pair) for pair in zip(lines, [*lines[1:], ''])]
    if not any(columns):
        raise ValueError(
            f'there should be a table with a column "{OURS}" '
            'to fill, but there is none'
        )
    column = None
    for i, line in enumerate(lines):
        if columns[i] is not None or not is_row(line):
            # The head of a table, or its end
            column = columns[i]
        names = cells.keys() & WORD.findall(line)
        if not column or not names:
            continue
        parts = BAR.split(line)
        if len(names) > 1 or len(parts) <= column + 1:
            raise ValueError(
                f'line {i + 1} should be a row about one config, with a cell '
                f'in column {column} ("{OURS}"), but is {line.strip()!r}'
            )
        (name,) = names
        parts[column] = f' {cells[name]} '
        lines[i] = '|'.join(parts)
        filled.add(name)
    return ''.join(lines), filled


def is_row(line: str) -> bool:
    """Tell whether a line may be one of a table."""
    return line.lstrip().startswith('|')


def find_column(line: str, following: str) -> Optional[int]:
    """Find the column "ours", if a line is the head of a table.

    Args:
        line (str): The line.
        following (str): The line below it.

    Returns:
        int: The column, from 1 on; 0 if the table has none. None if this is
        no head.
    """
    if not (is_row(line) and RULE.fullmatch(following.strip())):
        return None
    heads = [part.strip() for part in BAR.split(line)]
    columns = [i for i, head in enumerate(heads) if head.startswith(OURS)]
    return columns[0] if columns else 0


def check_readmes(readmes: Iterable[str]) -> None:
    """Check that there are READMEs to fill.

    Args:
        readmes (Iterable[str]): The files.

    Raises:
        OSError: If a file can't be read.
        ValueError: If one is no text in UTF-8, or has no table to fill.
    """
    for readme in readmes:
        path = Path(readme)
        if not path.is_file():
            raise FileNotFoundError(
                '--readme should be a markdown file, such as '
                f'configs/kd/README.md, but there is no file {readme!r}.'
            )
        try:
            fill_readme(path.read_bytes().decode(), {})
        except ValueError as error:
            raise ValueError(f'{readme}: {error}') from error


def fill_readmes(readmes: Iterable[str], results: list[Result]) -> str:
    """Fill the column "ours" of READMEs, or none if one can't be filled.

    Args:
        readmes (Iterable[str]): The files.
        results (list[Result]): The results. Those with other settings than
            their config are not filled in.

    Returns:
        str: What was filled in, and what was not.

    Raises:
        OSError: If a file can't be read or written.
        ValueError: If a file has no table to fill.
    """
    cells = {
        result.config: format_cell(result)
        for result in results
        if not result.settings
    }
    readmes = [*readmes]
    check_readmes(readmes)
    texts: dict[Path, str] = {}
    messages: list[str] = []
    all_filled: set[str] = set()
    for readme in readmes:
        path = Path(readme).resolve()
        try:
            texts[path], filled = fill_readme(
                path.read_bytes().decode(), cells
            )
        except ValueError as error:
            raise ValueError(f'{readme}: {error}') from error
        messages += [f'{readme}: filled {name}' for name in sorted(filled)]
        all_filled |= filled
    for result in results:
        if result.settings:
            messages.append(
                f'Not filled in: {result.config} with '
                f'{format_settings(result.settings)}'
            )
        elif result.config not in all_filled:
            messages.append(
                f'Not filled in: {result.config} has no row in a '
                f'table with a column "{OURS}"'
            )
    for path, text in texts.items():
        write_atomically(path, methodcaller('write', text.encode()))
    return '\n'.join(messages)
