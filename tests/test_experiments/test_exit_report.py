"""Tables of the exits of a student."""

from mmdskd.experiments.exit_report import format_exits, format_thresholds

NUMBERS = dict(
    exits=[
        dict(name='a', accuracy=[20, 40], flops=1100),
        dict(name='the student', accuracy=[50, 60], flops=4000),
    ],
    thresholds=[
        dict(
            threshold=0.5,
            accuracy=[40, 50],
            flops=[2000, 3000],
            shares=[[0.75, 0.25], [0.25, 0.75]],
        )
    ],
)


def test_exits():
    assert format_exits(NUMBERS).splitlines() == [
        "| exit, alone | top-1 (%) | FLOPs | of the student's |",
        '|-|-|-|-|',
        '| a | 30.00 +- 14.14 | 1,100 | 28% |',
        '| the student | 55.00 +- 7.07 | 4,000 | 100% |',
    ]


def test_thresholds():
    assert format_thresholds(NUMBERS).splitlines() == [
        "| threshold | top-1 (%) | average FLOPs | of the student's | "
        'leave at a | leave at the student |',
        '|-|-|-|-|-|-|',
        '| 0.5 | 45.00 +- 7.07 | 2,500 | 62% | 50% | 50% |',
    ]
