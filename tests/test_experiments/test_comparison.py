from mmdskd.experiments.comparison import compare


def test_compare():
    top1 = dict(
        teacher=[97.0, 98.0, 99.0],
        student=[80.0, 81.0, 82.0],
        kd=[90.0, 91.0, 92.0],
        dskd=[91.0, 93.0, 95.0],
    )
    results = [
        dict(
            method=method,
            seed=seed,
            accuracy_top1=value,
            params=272186 if method == 'teacher' else 5142,
            seconds=60.0 + seed,
        )
        for method, values in top1.items()
        for seed, value in enumerate(values)
    ]
    # Differences 1, 2, 3 between DSKD and KD: see test_statistics
    assert compare(results) == (
        'method       top-1 (%)  parameters  time per run  seeds\n'
        'teacher  98.00 +- 1.00     272,186          1:01      3\n'
        'student  81.00 +- 1.00       5,142          1:01      3\n'
        'kd       91.00 +- 1.00       5,142          1:01      3\n'
        'dskd     93.00 +- 2.00       5,142          1:01      3\n'
        '\n'
        'Paired differences in top-1 (percentage points; with the 95 % '
        'confidence interval of the mean):\n'
        '  kd - student: +10.00  [+10.00, +10.00], 3 seeds\n'
        '  dskd - kd: +2.00  [-0.48, +4.48], 3 seeds'
    )


def test_only_seeds_in_common_are_compared():
    results = [
        dict(
            method=method, seed=seed, accuracy_top1=top1, params=1, seconds=1.0
        )
        for method, seed, top1 in (
            ('kd', 0, 90.0),
            ('kd', 1, 50.0),
            ('dskd', 0, 92.0),
            ('mine', 2, 99.0),
        )
    ]
    _, _, text = compare(results).partition('mean):\n')
    assert text == '  dskd - kd: +2.00, 1 seed'
