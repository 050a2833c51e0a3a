from test_experiments.kept import by_seed, make_run

from mmdskd.experiments.paired_runs import epochs_to_reach


def test_epochs_to_reach():
    kd = by_seed('kd', [70.0, 89.0, 88.0], [80.0, 87.0, 90.0])  # at last 89
    # Means of 85, 89, 80
    dskd = by_seed('dskd', [90.0, 85.0, 80.0], [80.0, 93.0, 80.0])
    assert epochs_to_reach(dskd, kd) == 4
    assert epochs_to_reach(kd, kd) == 6
    # Seed 0 alone: KD ends at 88, and DSKD starts at 90.
    assert epochs_to_reach({0: dskd[0]}, kd) == 2
    assert epochs_to_reach(by_seed('student', [50.0], [88.0]), kd) is None
    assert epochs_to_reach(by_seed('student', [88.0]), {}) is None


def test_epochs_are_ordered_as_numbers():
    kd = {0: make_run('kd', 0, [1], top1_by_epoch={'10': 90.0, '9': 80.0})}
    dskd = {0: make_run('dskd', 0, [1], top1_by_epoch={'10': 95, '9': 91.0})}
    assert epochs_to_reach(dskd, kd) == 9


def test_only_epochs_that_all_seeds_have():
    kd = by_seed('kd', [90.0, 90.0], [90.0, 90.0])
    dskd = by_seed('dskd', [99.0, 95.0], [99.0, 95.0])
    del dskd[1]['top1_by_epoch']['2']
    assert epochs_to_reach(dskd, kd) == 4
