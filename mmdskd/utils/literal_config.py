"""Read the config that MMEngine dumps beside a log, and run nothing of it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

from mmengine.config import Config

# How Python writes these numbers, and so MMEngine dumps them
NUMBERS = dict(inf=float('inf'), nan=float('nan'))
SHOWN = 60


def read_dumped_config(path: Union[str, Path]) -> Config:
    """Read a config of plain values without executing the file.

    MMEngine dumps a config as lines ``key = value`` of numbers, strings,
    lists, tuples and dicts. So the file of a stranger's run can be read, and
    runs no code. Nothing that it names is imported.

    Args:
        path (str or Path): The file.

    Returns:
        Config: The config.

    Raises:
        OSError: If the file can't be read.
        ValueError: If it holds anything but plain values.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # such as a pipe
        raise OSError(f'{path} should be a file, but is none')
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
        return Config(dict(map(_read_line, tree.body)), filename=str(path))
    except SyntaxError as error:
        raise ValueError(
            f'{path}, line {error.lineno or 1}: it should be a config as '
            f'MMEngine dumps it, but: {error.msg}'
        ) from None
    except _NotPlainError as error:
        raise ValueError(f'{path}, {error}') from None
    # Of deep nesting, of what is no text, and of keys that can't be.
    except (
        AttributeError,
        KeyError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f'{path} should be a config as MMEngine dumps it, but: {error}'
        ) from None


class _NotPlainError(Exception):
    """A part of a file that is not a plain value.

    Args:
        node (AST): The part.
    """

    def __init__(self, node: ast.AST) -> None:
        text = ' '.join(ast.unparse(node).split())
        if len(text) > SHOWN:
            text = f'{text[:SHOWN]}...'
        line = getattr(node, 'lineno', 1)
        super().__init__(
            f'line {line}: it should hold lines "key = value" of plain '
            f'values, as MMEngine dumps a config, but got {text!r}. The file '
            'is read without executing it'
        )


def _read_line(node: ast.stmt) -> tuple[str, Any]:
    """Read ``key = value``."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        (target,) = node.targets
        if isinstance(target, ast.Name):
            return target.id, _read_value(node.value)
    raise _NotPlainError(node)


def _read_value(node: ast.expr) -> Any:
    """Read a plain value."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = dict(List=list, Tuple=tuple, Set=set)[type(node).__name__]
        return kind(map(_read_value, node.elts))
    if isinstance(node, (ast.Dict, ast.Call)):
        return dict(_read_items(node))
    if isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _read_value(node.operand)
        if type(value) in (int, float):
            return -value
    if isinstance(node, ast.Constant):
        return node.value
    raise _NotPlainError(node)


def _read_items(node: Union[ast.Dict, ast.Call]) -> Iterator[tuple[Any, Any]]:
    """Read ``{key: value}`` or ``dict(key=value)``."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if key is None:  # of **
                raise _NotPlainError(node)
            yield _read_value(key), _read_value(value)
        return
    is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
    if not is_dict:
        raise _NotPlainError(node)
    # dict({'1': 2}): so MMEngine dumps keys that are no names.
    for argument in node.args:
        if len(node.args) > 1 or not isinstance(argument, ast.Dict):
            raise _NotPlainError(node)
        yield from _read_items(argument)
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _NotPlainError(node)
        yield keyword.arg, _read_value(keyword.value)
