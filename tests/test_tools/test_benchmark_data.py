"""The command that compares ways to feed a training."""

from pathlib import Path

import pytest

DATASETS = Path(__file__).parents[2] / 'configs/_base_/datasets'


@pytest.mark.parametrize('device', ['cuda:99', 'gpu'])
def test_device_that_is_not_there(run_tool, device, capsys):
    with pytest.raises(SystemExit):
        run_tool('benchmarks/benchmark_data.py', 'a.py', '--devices', device)
    error = ' '.join(capsys.readouterr().err.split())
    assert f"'{device}' should be a device of this machine: " in error


def test_cli(run_tool, capsys):
    run_tool(
        'benchmarks/benchmark_data.py',
        DATASETS / 'digits_bs64.py',
        '--synthetic',
        '130',
        '--turns',
        '2',
        '--batches',
        '2',
        '--augment-sizes',
        '8',
        '--repeats',
        '1',
        '--devices',
        'cpu',
    )
    out = capsys.readouterr().out
    assert 'on: CPU, 1 threads. 2 turns, median [quartiles]' in out
    assert 'Data path, 2 batches of 64 per turn, 0 workers' in out
    assert 'batches of 8 random images of 1x32x32' in out
    assert out.count('| 1.00 [1.00, 1.00] |') == 2
    assert 'Kornia' in out


def test_cli_with_too_few_turns(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool(
            'benchmarks/benchmark_data.py',
            DATASETS / 'digits_bs64.py',
            '--turns',
            '1',
        )
    assert "whole number >= 2, but got '1'" in capsys.readouterr().err
