"""Fill the page of benchmarks with the tables of kept results."""

import re
from difflib import unified_diff
from fnmatch import fnmatchcase
from operator import methodcaller
from pathlib import Path

from mmdskd.utils.files import write_atomically

from .benchmark_tables import FOLDER, format_comparison, format_summary
from .kept_results import KeptResults, read_kept

PAGE = 'benchmarks.md'
END = '<!-- end -->'
MARKER = (
    r'<!-- (?P<kind>results(?=:)|summary)(?:: (?P<patterns>[^>\n]+))? -->\n'
)
START = re.compile(MARKER)
BLOCK = re.compile(f'(?P<start>{MARKER})(?P<body>.*?){END}', re.DOTALL)


def fill_tables(text: str, results: dict[str, KeptResults]) -> str:
    """Fill what is between the markers of a page.

    ``<!-- results: PATTERN ... -->`` begins the comparisons whose names
    match one of the patterns, ``<!-- summary: PATTERN ... -->`` a table of
    them; without patterns, of all. ``<!-- end -->`` ends both.

    Args:
        text (str): The page.
        results (dict[str, KeptResults]): The comparisons by name.

    Returns:
        str: The page with the tables.

    Raises:
        ValueError: If a marker has no end, or if a comparison is not shown
            exactly once.
    """
    blocks = len(BLOCK.findall(text))
    starts = len(START.findall(text))
    if not blocks == starts == text.count(END):
        raise ValueError(
            f'each "<!-- results: PATTERN -->" or "<!-- summary -->" should '
            f'be followed by its own "{END}", but there are {starts} and '
            f'{text.count(END)}, of which {blocks} are pairs'
        )
    shown = dict.fromkeys(results, 0)

    def fill(match: re.Match) -> str:
        patterns = (match['patterns'] or '*').split()
        chosen = {
            name: results[name]
            for name in sorted(results)
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        if match['kind'] == 'summary':
            body = format_summary(chosen)
        else:
            body = '\n\n'.join(
                format_comparison(*item) for item in chosen.items()
            )
            for name in chosen:
                shown[name] += 1
        # Markdown needs a blank line between a comment and a table.
        return (
            f'{match["start"]}\n{body}\n\n{END}'
            if body
            else (f'{match["start"]}{END}')
        )

    text = BLOCK.sub(fill, text)
    for name, times in shown.items():
        if times != 1:
            raise ValueError(
                f'{FOLDER}/{name}.json should be shown by one marker, such '
                f'as "<!-- results: {name} -->", but is shown by {times}'
            )
    return text


def fill_page(docs: Path, check: bool = False) -> str:
    """Fill the page of benchmarks, or check that it is filled.

    Args:
        docs (Path): The folder of the page, ``benchmarks.md``, and of the
            kept results, ``results/*.json``.
        check (bool): Whether the page is only checked. Defaults to False.

    Returns:
        str: What was found or done.

    Raises:
        OSError: If a file can't be read or written.
        ValueError: If a file does not hold kept results, if the page can't be
            filled, or if it is checked and its tables are not those of the
            kept results.
    """
    page = docs / PAGE
    if not page.is_file():
        raise FileNotFoundError(
            f'--docs should be a folder with {PAGE}, but {str(docs)!r} has '
            'none'
        )
    old = page.read_bytes().decode()
    files = sorted((docs / FOLDER).glob('*.json'))
    results = {path.stem: read_kept(path) for path in files}
    try:
        new = fill_tables(old, results)
    except ValueError as error:
        raise ValueError(f'{page}: {error}') from error
    if new == old:
        return f'{page}: holds the tables of {len(files)} comparisons'
    if check:
        changes = unified_diff(
            old.splitlines(),
            new.splitlines(),
            'page',
            'results',
            '',
            '',
            0,
            '',
        )
        raise ValueError(
            f'{page} should hold the tables of {docs / FOLDER}, but differs. '
            'Run tools/misc/benchmark_tables.py.\n' + '\n'.join(changes)
        )
    write_atomically(page, methodcaller('write', new.encode()))
    return f'{page}: filled with the tables of {len(files)} comparisons'
