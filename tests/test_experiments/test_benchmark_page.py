import pytest
from test_experiments.kept import make_runs, write_results

from mmdskd.experiments.benchmark_page import fill_page, fill_tables
from mmdskd.experiments.benchmark_tables import (
    format_comparison,
    format_summary,
)
from mmdskd.experiments.kept_results import keep_results, read_kept

PAGE = """# Benchmarks

<!-- summary -->
<!-- end -->
Text stays.
<!-- results: b_* -->
old
<!-- end -->

<!-- results: a -->
<!-- end -->
<!-- summary: a b_2 -->
<!-- end -->
<!-- results: c* -->
gone
<!-- end -->
"""


@pytest.fixture
def docs(tmp_path):
    """A page without tables, and three comparisons."""
    (tmp_path / 'benchmarks.md').write_text(PAGE)
    (tmp_path / 'results').mkdir()
    results = write_results(tmp_path / 'results.json', make_runs())
    for name in ('b_2', 'b_1', 'a'):
        keep_results(
            results, tmp_path / f'results/{name}.json', 'mine', name, 'make'
        )
    return tmp_path


def test_page(docs):
    page = docs / 'benchmarks.md'
    a, first, second = (
        read_kept(docs / f'results/{name}.json')
        for name in ('a', 'b_1', 'b_2')
    )
    message = fill_page(docs)
    assert message == f'{page}: filled with the tables of 3 comparisons'
    assert (
        page.read_text()
        == f"""# Benchmarks

<!-- summary -->

{format_summary(dict(a=a, b_1=first, b_2=second))}

<!-- end -->
Text stays.
<!-- results: b_* -->

{format_comparison('b_1', first)}

{format_comparison('b_2', second)}

<!-- end -->

<!-- results: a -->

{format_comparison('a', a)}

<!-- end -->
<!-- summary: a b_2 -->

{format_summary(dict(a=a, b_2=second))}

<!-- end -->
<!-- results: c* -->
<!-- end -->
"""
    )
    for check in (False, True):
        assert fill_page(docs, check) == (
            f'{page}: holds the tables of 3 comparisons'
        )


def test_check_changes_nothing(docs):
    page = docs / 'benchmarks.md'
    fill_page(docs)
    wrong = page.read_text().replace('93.00 +- 2.00', '93.00 +- 1.00', 1)
    page.write_text(wrong)
    with pytest.raises(
        ValueError,
        match=r'(?s)benchmarks.md should hold the tables of .*results, but '
        r'differs. Run tools/misc/benchmark_tables.py.*-\| .*93.00 \+- 1.00'
        r'.*\+\| .*93.00 \+- 2.00',
    ):
        fill_page(docs, check=True)
    assert page.read_text() == wrong


def test_hidden_or_repeated_comparison(docs):
    page = docs / 'benchmarks.md'
    for pattern, times in (('x', 0), ('*', 2)):
        text = PAGE.replace('results: a ', f'results: {pattern} ')
        page.write_text(text)
        with pytest.raises(
            ValueError,
            match=r'benchmarks.md: results/.*.json should be shown by one '
            f'marker, such as "<!-- results: .* -->", but is shown by {times}',
        ):
            fill_page(docs)
        assert page.read_text() == text


@pytest.mark.parametrize(
    'text, numbers',
    [
        ('<!-- summary -->\n', '1 and 0, of which 0'),
        ('<!-- results -->\n<!-- end -->\n', '0 and 1, of which 0'),
        ('<!-- tables: a -->\n<!-- end -->\n', '0 and 1, of which 0'),
        (
            '<!-- summary -->\n<!-- results: a -->\n<!-- end -->\n',
            '2 and 1, of which 1',
        ),
    ],
)
def test_unpaired_markers(text, numbers):
    with pytest.raises(
        ValueError, match=f'its own "<!-- end -->", but there are {numbers}'
    ):
        fill_tables(text, {})


def test_broken_file(docs):
    path = docs / 'results/a.json'
    path.write_text('')
    with pytest.raises(ValueError, match='a.json should be JSON'):
        fill_page(docs)
    (docs / 'benchmarks.md').unlink()
    with pytest.raises(FileNotFoundError, match='benchmarks.md'):
        fill_page(docs)
