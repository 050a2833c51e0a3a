import pytest

from mmdskd.experiments.comparison import compare

TOP1 = dict(
    teacher=[97.0, 98.0, 99.0],
    student=[80.0, 81.0, 82.0],
    kd=[90.0, 91.0, 92.0],
    dskd=[91.0, 93.0, 95.0],
)
ONE_SEED = (
    'One seed says little: run more, such as with "make demo SEEDS=8" or '
    '"--seeds 8".'
)


def make_results(top1, curves=None):
    """The results of runs with seeds 0, 1, ..."""
    return [
        dict(
            method=method,
            seed=seed,
            accuracy_top1=value,
            params=272186 if method == 'teacher' else 5142,
            seconds=60.0 + seed,
            **(
                dict(
                    top1_by_epoch={
                        str(epoch): curve[seed]
                        for epoch, curve in curves[method].items()
                    }
                )
                if curves
                else {}
            ),
        )
        for method, values in top1.items()
        for seed, value in enumerate(values)
    ]


def conclusion(top1, curves=None):
    """What comes after the paired differences."""
    _, _, text = compare(make_results(top1, curves)).partition('mean):\n')
    return text.split('\n\n')[1].splitlines()


def test_compare():
    # Differences 1, 2, 3 between DSKD and KD: see test_statistics
    assert compare(make_results(TOP1)) == (
        'method       top-1 (%)  parameters  time per run  seeds\n'
        'teacher  98.00 +- 1.00     272,186          1:01      3\n'
        'student  81.00 +- 1.00       5,142          1:01      3\n'
        'kd       91.00 +- 1.00       5,142          1:01      3\n'
        'dskd     93.00 +- 2.00       5,142          1:01      3\n'
        '\n'
        'Paired differences in top-1 (percentage points; with the 95 % '
        'confidence interval of the mean):\n'
        '  kd - student: +10.00  [+10.00, +10.00], 3 seeds\n'
        '  dskd - kd: +2.00  [-0.48, +4.48], 3 seeds\n'
        '\n'
        "These seeds don't show a difference between DSKD and KD: +2.00 "
        'points on average (95 % interval -0.48 to +4.48, better in 3 of 3 '
        'seeds).'
    )


@pytest.mark.parametrize(
    'dskd, sentence',
    [
        (
            [92.0, 93.0, 94.0],
            'DSKD is better than KD by 2.00 points on average (95 % interval '
            '+2.00 to +2.00, better in 3 of 3 seeds).',
        ),
        (
            [88.5, 89.0, 89.5],
            'DSKD is worse than KD by 2.00 points on average (95 % interval '
            '-3.24 to -0.76, worse in 3 of 3 seeds).',
        ),
        (
            [90.0, 91.0, 92.0],
            "These seeds don't show a difference between DSKD and KD: +0.00 "
            'points on average (95 % interval +0.00 to +0.00, better in 0 of '
            '3 seeds).',
        ),
        ([95.0], ONE_SEED),
    ],
)
def test_sentence(dskd, sentence):
    assert conclusion(dict(TOP1, dskd=dskd)) == [sentence]


def test_sentence_without_kd_or_dskd():
    few = {name: TOP1[name] for name in ('student', 'kd')}
    assert conclusion(few) == [
        'KD is better than the plain student by 10.00 points on average (95 '
        '% interval +10.00 to +10.00, better in 3 of 3 seeds).'
    ]
    few = {name: TOP1[name] for name in ('student', 'dskd')}
    # No line is about this pair.
    text = compare(make_results(few))
    assert 'Paired differences' not in text
    # 12 +- 1: t(0.975, 2) / sqrt(3) = 2.48
    assert text.endswith(
        'seeds\n'
        'student  81.00 +- 1.00       5,142          1:01      3\n'
        'dskd     93.00 +- 2.00       5,142          1:01      3\n'
        '\n'
        'DSKD is better than the plain student by 12.00 points on average (95 '
        '% interval +9.52 to +14.48, better in 3 of 3 seeds).'
    )


def test_nothing_to_compare():
    text = compare(make_results(dict(teacher=[97.0], kd=[90.0])))
    assert text.endswith('kd           90.00       5,142          1:00      1')


@pytest.mark.parametrize(
    'second, sentence',
    [
        # Means 50, 90.5 and 95; one seed alone is there earlier.
        (
            [[50.0, 91.0, 95.0], [50.0, 90.0, 95.0]],
            'DSKD reaches the final accuracy of KD, 90.50 %, after 2 of 3 '
            'epochs.',
        ),
        (
            [[91.0, 80.0, 81.0], [89.9, 80.0, 82.0]],
            'In 3 epochs, DSKD does not reach the final accuracy of KD, '
            '90.50 %.',
        ),
    ],
)
def test_epochs_to_reach_kd(second, sentence):
    kd = [90.0, 91.0]
    curves = dict(
        kd={1: [99.0, 99.0], 3: kd},
        dskd={
            epoch: [curve[epoch - 1] for curve in second]
            for epoch in (1, 2, 3)
        },
    )
    top1 = dict(kd=kd, dskd=[curve[-1] for curve in second])
    assert conclusion(top1, curves)[1] == sentence


def test_epochs_are_sorted_as_numbers():
    curves = dict(
        kd={12: [90.0]}, dskd={12: [95.0], 9: [91.0], 10: [92.0], 8: [89.0]}
    )
    assert conclusion(dict(kd=[90.0], dskd=[95.0]), curves) == [
        ONE_SEED,
        'DSKD reaches the final accuracy of KD, 90.00 %, after 9 of 12 '
        'epochs.',
    ]


def test_other_methods_are_compared_to_kd_and_dskd():
    top1 = dict(kd=[90.0], dskd=[92.0], mine=[99.0], other=[91.0])
    text = compare(make_results(top1)).partition('mean):\n')[2]
    assert text.split('\n\n')[0].splitlines() == [
        '  dskd - kd: +2.00, 1 seed',
        '  mine - kd: +9.00, 1 seed',
        '  other - kd: +1.00, 1 seed',
        '  mine - dskd: +7.00, 1 seed',
        '  other - dskd: -1.00, 1 seed',
    ]


def test_only_seeds_in_common_are_compared():
    results = [
        dict(
            method=method,
            seed=seed,
            accuracy_top1=top1,
            params=1,
            seconds=1.0,
            top1_by_epoch={'1': top1},
        )
        for method, seed, top1 in (
            ('kd', 0, 90.0),
            ('kd', 1, 50.0),
            ('dskd', 0, 92.0),
            ('dskd', 2, 20.0),
            ('mine', 3, 99.0),
        )
    ]
    _, _, text = compare(results).partition('mean):\n')
    assert text == (
        f'  dskd - kd: +2.00, 1 seed\n\n{ONE_SEED}\nDSKD reaches the final '
        'accuracy of KD, 90.00 %, after 1 of 1 epochs.'
    )
