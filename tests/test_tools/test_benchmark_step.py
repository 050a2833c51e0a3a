import argparse
import runpy
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).parents[2] / 'tools/benchmarks/benchmark_step.py'


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


def arguments(**kwargs):
    return argparse.Namespace(
        **{
            **dict(cfg_options=None, batch_size=None, synthetic=None),
            **kwargs
        })


def test_steps_take_turns(tool):
    calls = []
    times = tool['measure_times'](
        [lambda: calls.append('a'), lambda: calls.append('b')],
        iters=2,
        warmup=1)
    assert calls == ['a', 'b'] * 3
    assert [len(seconds) for seconds in times] == [2, 2]


def test_quartiles(tool):
    quartiles = tool['Quartiles'].of([4, 0, 1, 2, 3])
    assert quartiles == (1, 2, 3)
    assert quartiles.format(1) == '2.0 [1.0, 3.0]'


def test_ratios_are_taken_turn_by_turn(tool):
    # The machine gets slower, but b always takes twice the time of a.
    table = tool['format_table'](['a.py', 'b.py'],
                                 [[.001, .002, .003], [.002, .004, .006]],
                                 [50., 75.])
    assert table.splitlines()[2].split() == [
        'b.py', '4.00', '[3.00,', '5.00]', '2.000', '[2.000,', '2.000]',
        '75.0', '1.500'
    ]


def test_dskd_step_runs_hooks(tool, dump, dskd_config, tmp_path):
    step = tool['make_step'](
        dump(dskd_config), arguments(batch_size=8), str(tmp_path / 'out'))
    loop = step.__self__
    assert len(loop.batch['inputs']) == 8
    runner = loop.runner
    loss = runner.model.distiller.distill_losses['loss_dskd']
    before = [buffer.clone() for buffer in loss.buffers()]
    weight = runner.model.architecture.head.fc.weight.clone()
    step()
    assert runner.iter == 1
    assert not torch.equal(runner.model.architecture.head.fc.weight, weight)
    assert any(not torch.equal(new, old)
               for new, old in zip(loss.buffers(), before))


def test_synthetic_images_need_no_data_set(tool, dump, plain_config,
                                           tmp_path):
    plain_config.train_dataloader.dataset.type = 'NotAtHand'
    step = tool['make_step'](
        dump(plain_config), arguments(synthetic=(1, 12, 10), batch_size=3),
        str(tmp_path / 'out'))
    step()
    inputs = step.__self__.batch['inputs']
    assert [tuple(image.shape) for image in inputs] == [(1, 12, 10)] * 3


def test_memory(tool, dump, plain_config, tmp_path):
    assert tool['measure_memory'](
        dump(plain_config), arguments(), str(tmp_path / 'out')) >= 0


@pytest.mark.parametrize('text', ['1,2', '1,2,0', 'a,b,c'])
def test_bad_shape(tool, text):
    with pytest.raises(ValueError):
        tool['parse_shape'](text)


@pytest.mark.slow
def test_cli(run_tool, dump, dskd_config, capsys):
    run_tool('benchmarks/benchmark_step.py', dump(dskd_config),
             dump(dskd_config), '--iters', '3', '--warmup', '1')
    out = capsys.readouterr().out
    assert '3 steps of each config, in turns' in out
    assert out.count('1.000 [1.000, 1.000]') == 1
