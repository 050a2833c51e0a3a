"""Losses and costs of training steps, side by side."""

import pytest

from mmdskd.analysis.step_comparison import (
    format_costs,
    format_losses,
    measure_losses,
    relative_difference,
)

KD_WEIGHT = 'model.distiller.distill_losses.loss_kd.loss_weight'


def test_ratios_are_taken_turn_by_turn():
    # The machine gets slower, but b always takes twice the time of a.
    table = format_costs(
        ['a', 'b'],
        [[0.001, 0.002, 0.003], [0.002, 0.004, 0.006]],
        [50.0, 75.0],
    )
    header, rule, _, row = table.splitlines()
    assert [cell.strip() for cell in row.split('|')[1:-1]] == [
        'b',
        '4.00 [3.00, 5.00]',
        '2.000 [2.000, 2.000]',
        '75.0',
        '1.500',
    ]
    assert len({len(line) for line in table.splitlines()}) == 1
    assert header.count('|') == rule.count('|') == 6


def test_losses_tell_what_differs(build, kd_config):
    loops = build(
        kd_config,
        kd_config,
        (kd_config, {KD_WEIGHT: 10.1}),
        num_batches=3,
        plain_loop=True,
    )
    plain, first, second, other = measure_losses(loops, 3)
    assert len(first) == len(set(first)) == 3
    assert first == second
    assert plain == pytest.approx(first, rel=1e-5)
    assert relative_difference(first, second) == 0
    assert relative_difference(other, first) > 1e-3
    # The first losses are from the same weights, and differ in nothing else.
    scalars = loops[1].runner.message_hub.log_scalars
    distillation = scalars['train/distill.loss_kd'].data[0][0] / 0.1
    assert other[0] - first[0] == pytest.approx(10 * distillation, rel=1e-3)


def test_frozen_teacher_has_the_losses_of_stock(build, kd_config):
    loops = build(
        kd_config, (kd_config, {'model.type': 'mmdskd.FrozenTeacherDistill'})
    )
    assert relative_difference(*measure_losses(loops, 2)) < 1e-5


def test_losses_are_formatted():
    table = format_losses(['a', 'b'], [[2.0, 4.0], [2.002, 3.992]])
    assert [
        cell.strip() for cell in table.splitlines()[-1].split('|')[1:-1]
    ] == ['b', '2.002', '3.992', '2.0e-03']
    nan = float('nan')
    assert 'nan' in format_losses(['a', 'b'], [[2.0, 4.0], [2.0, nan]])
