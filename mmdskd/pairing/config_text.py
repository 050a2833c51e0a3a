"""Write variables as the text of a config file that people read.

``Config.pretty_text`` of MMEngine sorts the keys, writes out what two values
share, and knows no comments.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from yapf.yapflib.yapf_api import FormatCode

STYLE = (
    '{based_on_style: pep8, split_before_expression_after_opening_paren: true}'
)
# Longer texts, such as URLs, are written in parts.
MAX_TEXT = 60


def write_config(
    variables: Mapping[str, Any], comments: Mapping[str, str], title: str
) -> str:
    """Write a config file.

    A value that is the very object of a variable before it is written by the
    name of that variable.

    Args:
        variables (Mapping[str, Any]): Values by their names, in order. They
            consist of dicts, lists, tuples, and what ``repr`` writes.
        comments (Mapping[str, str]): Comments by the dotted path of what they
            go before, such as "model.distiller.connectors". Lines are kept.
        title (str): Comment at the top.

    Returns:
        str: Its text.
    """
    names: dict[int, str] = {}
    parts = [_comment(title)]
    for name, value in variables.items():
        code = f'{name} = {_to_code(value, name, comments, names)}'
        if name in comments:
            code = f'{_comment(comments[name])}\n{code}'
        parts.append(code)
        if isinstance(value, dict):
            names[id(value)] = name
    text, _ = FormatCode('\n\n'.join(parts), style_config=STYLE)
    return text


def _to_code(
    value: Any, path: str, comments: Mapping[str, str], names: dict[int, str]
) -> str:
    """Write a value as configs do, with ``dict(key=value)``."""
    if id(value) in names:
        return names[id(value)]
    if isinstance(value, dict):
        named = all(isinstance(k, str) and k.isidentifier() for k in value)
        items = []
        for key, item in value.items():
            child = f'{path}.{key}'
            code = _to_code(item, child, comments, names)
            code = f'{key}={code}' if named else f'{key!r}: {code}'
            if child in comments:
                code = f'\n{_comment(comments[child])}\n{code}'
            items.append(code)
        text = ', '.join(items)
        return f'dict({text})' if named else f'{{{text}}}'
    if isinstance(value, (list, tuple)):
        items = [_to_code(item, path, {}, names) for item in value]
        if isinstance(value, list):
            return f'[{", ".join(items)}]'
        return f'({", ".join(items)}{"," * (len(items) == 1)})'
    if isinstance(value, str) and len(value) > MAX_TEXT:
        starts = range(0, len(value), MAX_TEXT)
        parts = (repr(value[i : i + MAX_TEXT]) for i in starts)
        return f'({" ".join(parts)})'
    return repr(value)


def _comment(text: str) -> str:
    """Write a comment, with each of its lines filled."""
    return '\n'.join(
        textwrap.fill(
            line,
            77,
            initial_indent='# ',
            # That of a list goes on below its text.
            subsequent_indent='#   ' if line.startswith(' ') else '# ',
        )
        for line in text.splitlines()
    )
