import textwrap
from collections.abc import Sequence
from typing import Any

from .feature import Feature

STYLE = (
    '{based_on_style: pep8, split_before_expression_after_opening_paren: true}'
)


def _source(value: Any) -> str:
    """Write a value as configs do, with ``dict(key=value)``."""
    if isinstance(value, dict):
        if not all(isinstance(k, str) and k.isidentifier() for k in value):
            items = (f'{key!r}: {_source(v)}' for key, v in value.items())
            return f'{{{", ".join(items)}}}'
        items = (f'{key}={_source(v)}' for key, v in value.items())
        return f'dict({", ".join(items)})'
    if isinstance(value, (list, tuple)):
        items = ', '.join(map(_source, value))
        if isinstance(value, tuple):
            return f'({items}, )' if len(value) == 1 else f'({items})'
        return f'[{items}]'
    return repr(value)


def _comment(text: str) -> str:
    return textwrap.fill(text, 77, initial_indent='# ', subsequent_indent='# ')


def _feature_comments(features: Sequence[Feature]) -> str:
    return '\n'.join(
        f'        #   {feature.name}: {feature.shape}' for feature in features
    )


def _split(text: str) -> str:
    """Write a text over as many lines as it takes."""
    parts = textwrap.wrap(text, 60, break_on_hyphens=False) or ['']
    return (
        repr(text) if len(parts) == 1 else (f'({" ".join(map(repr, parts))})')
    )
