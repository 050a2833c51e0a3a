import pytest

from mmdskd.utils.text import (
    format_columns,
    format_header,
    format_row,
    format_table,
    shorten,
)


@pytest.mark.parametrize(
    'items, expected',
    [
        ([], 'nothing'),
        (['a'], 'a'),
        (['a', 'b', 'c'], 'a, b, c'),
        (['a', 'b', 'c', 'd', 'e'], 'a, b, c and 2 more'),
    ],
)
def test_shorten(items, expected):
    assert shorten(items) == expected


def test_limit():
    assert shorten(['a', 'b', 'c'], limit=1) == 'a and 2 more'


def test_table():
    assert format_header(('loss', 'note')) == '| loss | note |\n|-|-|'
    assert format_row(['`KL`', '']) == '| `KL` |  |'


def test_format_table():
    assert format_table(('loss', 'n'), [('KL', '1'), ('hint', '12')]) == (
        '| loss | n  |\n|------|----|\n| KL   | 1  |\n| hint | 12 |'
    )


def test_format_columns():
    rows = [('method', 'top-1'), ('kd', '9.5'), ('dskd', '')]
    assert format_columns(rows, '<>') == ('method  top-1\nkd        9.5\ndskd')
