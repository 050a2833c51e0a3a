"""Read JSON and YAML of strangers: plain values, and no code."""

import json
import re
from typing import Any

import yaml

# Nested deeper, JSON would overflow the stack.
MAX_DEPTH = 200
BRACKETS = re.compile(r'[\[\]{}]')


class NotPlainError(ValueError):
    """A text holds objects, or is nested too deep."""


class _PlainLoader(yaml.SafeLoader):
    """Of Python's objects, it knows tuples only, which MMEngine writes."""


def _make_tuple(loader: Any, node: Any) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))


_PlainLoader.add_constructor('tag:yaml.org,2002:python/tuple', _make_tuple)


def parse_json(text: str) -> Any:
    """Parse JSON.

    Args:
        text (str): The text.

    Returns:
        Any: What it holds.

    Raises:
        NotPlainError: If it is nested too deep.
        ValueError: If it is not JSON.
    """
    _check_depth(text)
    return json.loads(text)


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values and tuples. No code of it runs.

    Args:
        text (str): The text.

    Returns:
        Any: What it holds.

    Raises:
        NotPlainError: If it holds other objects, or is nested too deep.
        ValueError: If it is no YAML.
    """
    _check_depth(text)
    try:
        # Derived from the safe loader.
        return yaml.load(text, Loader=_PlainLoader)
    except (yaml.constructor.ConstructorError, RecursionError) as error:
        raise NotPlainError(' '.join(str(error).split())) from None
    except yaml.YAMLError as error:
        raise ValueError(' '.join(str(error).split())) from None


def _check_depth(text: str) -> None:
    depth = 0
    for match in BRACKETS.finditer(text):
        depth += 1 if match[0] in '[{' else -1
        if depth > MAX_DEPTH:
            raise NotPlainError(
                f'it has more than {MAX_DEPTH} nested brackets'
            )
