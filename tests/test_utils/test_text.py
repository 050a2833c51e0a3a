import pytest

from mmdskd.utils.text import format_header, format_row, shorten


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
