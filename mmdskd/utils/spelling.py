"""Find what a misspelt word stands for."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Optional


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Ask for the choices that are like a word.

    Args:
        word (str): The word.
        choices (Iterable[str]): What it may stand for.

    Returns:
        str: Such as '; did you mean "tau"?', or '' if none is like it.
    """
    names = sorted(set(choices))
    if not isinstance(word, str) or not word:
        return ''
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), lower, n=3)
    words = [lower[name] for name in found]
    slip = near(word, names)
    if slip is not None:
        words = [slip, *(name for name in words if name != slip)]
    if not words:
        return ''
    return f'; did you mean {" or ".join(map(repr, words[:3]))}?'


def near(
    word: str, choices: Sequence[str], max_changes: int = 2
) -> Optional[str]:
    """Find the choice that a word is a slip of.

    Args:
        word (str): The word.
        choices (Sequence[str]): What it may stand for.
        max_changes (int): How many letters may be missing, too many, others
            or swapped. Short words may have fewer. Defaults to 2.

    Returns:
        str, optional: The nearest choice, or None if all are too far.
    """
    best, best_changes = None, max_changes + 1
    for choice in choices:
        limit = min(max_changes, max(len(choice) // 4, 1))
        changes = count_changes(word.lower(), choice.lower(), limit)
        if changes <= limit and changes < best_changes:
            best, best_changes = choice, changes
    return best


def count_changes(word: str, other: str, limit: int) -> int:
    """Count the letters that are missing, too many, others or swapped.

    Args:
        word (str): A word.
        other (str): Another one.
        limit (int): From which number on it need not be exact.

    Returns:
        int: The number, or one above ``limit`` if there are more.
    """
    if abs(len(word) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(
                before[j] + 1,
                row[j - 1] + 1,
                before[j - 1] + (letter != wanted),
            )
            swapped = (
                i > 1
                and j > 1
                and letter == other[j - 2]
                and word[i - 2] == wanted
            )
            if swapped:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
