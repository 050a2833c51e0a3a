import pytest
from test_experiments.kept import by_seed, make_run, make_runs

from mmdskd.experiments.benchmark_tables import (
    format_comparison,
    format_difference,
    format_methods,
    format_seeds,
    format_summary,
)
from mmdskd.experiments.kept_results import KeptResults

COMPARISON = """**three seeds**

| method | seeds | top-1 (%) | minus KD | parameters | epochs to KD's top-1 |
|-|-|-|-|-|-|
| [teacher](../configs/vanilla/digits/resnet20_1xb64_digits.py) | 0 | 98.00 \
|  | 272,186 |  |
| [student](../configs/student/digits/student_PAIR) | 0 to 2 | 81.00 +- 1.00 \
| -10.00 [-10.00, -10.00], better in 0 of 3 | 5,142 | - |
| [kd](../configs/kd/digits/kd_PAIR) | 0 to 2 | 91.00 +- 1.00 |  | 5,142 | 6 |
| [dskd](../configs/dskd/digits/dskd_PAIR) | 0 to 2 | 93.00 +- 2.00 \
| +2.00 [-0.48, +4.48], better in 3 of 3 | 5,142 | 4 |

Machine: mine; threads: 1; torch: 2.0.0; last run kept: 2026-01-31; \
[every run](results/name.json).
One teacher, of seed 0, for all seeds.

```bash
make demo SEEDS=3
```""".replace('PAIR', 'resnet20_resnet8-thin_1xb64_digits.py')


def keep(runs, *reference):
    return KeptResults(
        'three seeds',
        'make demo SEEDS=3',
        'mine',
        '2026-01-31',
        list(reference or ['kd']),
        runs,
    )


def rows(text):
    """The cells of each row of a table, without its rule."""
    return [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('| ')
    ]


def test_comparison():
    assert format_comparison('name', keep(make_runs())) == COMPARISON


def test_settings_of_all_and_of_some():
    runs = make_runs()
    for run in runs:
        run['options'] = ['a.b=1', 'c=x|y']
        if run['method'] == 'dskd':
            run['options'] = ['a.b=1', 'd=2', 'c=x|y', 'e=3']
    text = format_comparison('name', keep(runs))
    assert r'Settings of all methods: `a.b=1`, `c=x\|y`.' in text
    header, *body = rows(text)
    assert header[1] == 'settings'
    assert [row[1] for row in body] == ['', '', '', '`d=2`, `e=3`']


def test_old_runs_lack_some_figures():
    runs = make_runs()
    for run in runs:
        for key in ('options', 'top1_by_epoch', 'threads', 'torch'):
            del run[key]
    text = format_comparison('name', keep(runs))
    assert 'threads: unknown; torch: unknown;' in text
    assert [row[-1] for row in rows(text)[1:]] == ['', '-', '-', '-']
    assert rows(format_summary(dict(name=keep(runs))))[1][3] == '-'


def test_a_teacher_for_each_seed_and_several_threads():
    runs = [make_run('teacher', 1, [99.0], threads=2), *make_runs()]
    text = format_comparison('name', keep(runs))
    assert 'threads: 1 and 2;' in text
    assert 'One teacher' not in text


def test_minus_dskd_too():
    variant = [make_run('mine', seed, [94.0]) for seed in (1, 2)]
    table = rows(format_methods(keep([*make_runs(), *variant], 'kd', 'dskd')))
    assert table[0][3:5] == ['minus KD', 'minus DSKD']
    assert [row[3:5] for row in table[1:]] == [
        ['', ''],
        # -11, -12, -13
        [
            '-10.00 [-10.00, -10.00], better in 0 of 3',
            '-12.00 [-14.48, -9.52], better in 0 of 3',
        ],
        ['', '-2.00 [-4.48, +0.48], better in 0 of 3'],
        ['+2.00 [-0.48, +4.48], better in 3 of 3', ''],
        # 3 and 2: 2.5 +- 12.706 * 0.7071 / sqrt(2); 1 and -1
        [
            '+2.50 [-3.85, +8.85], better in 2 of 2',
            '+0.00 [-12.71, +12.71], better in 1 of 2',
        ],
    ]


def test_difference_of_few_seeds():
    kd = by_seed('kd', [90.0], [91.0])
    dskd = by_seed('dskd', [92.5])
    assert format_difference(dskd, kd) == '+2.50 (1 seed)'
    assert format_difference({3: dskd[0]}, kd) == '-'


@pytest.mark.parametrize(
    'seeds, text',
    [
        ([0], '0'),
        ([0, 1], '0, 1'),
        ([3, 4, 5], '3 to 5'),
        ([0, 1, 3], '0, 1, 3'),
    ],
)
def test_seeds(seeds, text):
    assert format_seeds(seeds) == text


def test_summary():
    no_kd = [run for run in make_runs() if run['method'] != 'kd']
    no_teacher = make_runs()[1:]
    header, *body = rows(
        format_summary(
            dict(a=keep(make_runs()), b=keep(no_kd), c=keep(no_teacher))
        )
    )
    assert header[-1] == 'DSKD - KD'
    expected = [
        '[three seeds](results/a.json)',
        'resnet20, resnet8-thin',
        'digits',
        '6',
        '0 to 2',
        '98.00',
        '81.00 +- 1.00',
        '91.00 +- 1.00',
        '93.00 +- 2.00',
        '+2.00 [-0.48, +4.48], better in 3 of 3',
    ]
    other = list(expected)
    other[0], other[5] = '[three seeds](results/c.json)', '-'
    assert body == [expected, other]
    assert format_summary(dict(b=keep(no_kd))) == ''
