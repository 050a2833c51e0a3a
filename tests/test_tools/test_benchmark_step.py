"""The command that compares training steps."""

import re

import pytest

KD_WEIGHT = 'model.distiller.distill_losses.loss_kd.loss_weight'


class Stop(Exception):
    """Nothing is built."""


@pytest.fixture
def load(run_tool, monkeypatch):
    """Run the command until it has loaded its configs, and return these."""

    def run(*args):
        found = {}

        def stop(configs, *args):
            found.update(configs)
            raise Stop

        monkeypatch.setattr(
            'mmdskd.analysis.step_comparison.build_loops', stop
        )
        with pytest.raises(Stop):
            run_tool('benchmarks/benchmark_step.py', *args)
        return found

    return run


def test_own_options(load, dump, kd_config):
    kd_config.x, kd_config.w = {}, None
    path = dump(kd_config)
    name = path.rpartition('/')[2][: -len('.py')]
    found = load(
        f"{path} x.y='[1, two]' x.z=None w=(3,4) x.w=0.5 x.v=a=b x.u=True"
    )
    assert list(found) == [f'1. {name}']
    cfg = found[f'1. {name}']
    assert cfg.x == dict(y=[1, 'two'], z=None, w=0.5, v='a=b', u=True)
    assert cfg.w == (3, 4)


def test_options_of_a_config_come_last(load, dump, kd_config):
    kd_config.train_dataloader.batch_size = 2
    path = dump(kd_config)
    first, second = load(
        path,
        f'{path} train_dataloader.batch_size=6 {KD_WEIGHT}=0.7',
        '--batch-size',
        4,
        '--cfg-options',
        f'{KD_WEIGHT}=0.6',
    ).values()
    for cfg, size, weight in ((first, 4, 0.6), (second, 6, 0.7)):
        assert cfg.train_dataloader.batch_size == size
        losses = cfg.model.distiller.distill_losses
        assert losses.loss_kd.loss_weight == weight


def test_auto_is_filled_in(load, dump, dskd_config):
    """For the images that are asked for."""
    dskd_config.model.distiller.connectors.heads = dict(
        type='mmdskd.DSKDConnector', in_channels='auto'
    )
    [cfg] = load(dump(dskd_config), '--synthetic', '1,20,20').values()
    heads = cfg.model.distiller.connectors.heads
    assert list(heads.in_channels) == [4, 8]
    assert heads.out_channels == 32


@pytest.mark.parametrize(
    'text, message',
    [
        ('a.py b.py', "'b.py' is no KEY=VALUE"),
        ('a.py x=1 --y', "'--y' is no KEY=VALUE"),
        ('x=1 a.py', "'x=1' is no path"),
        ('', "'' is no path"),
        ('a.py "x=1', 'No closing quotation'),
        (
            'a.py x=[1,2',
            "argument --cfg-options: the brackets of 'x=.1,2' should be in ",
        ),
    ],
)
def test_bad_options(run_tool, text, message, capsys):
    with pytest.raises(SystemExit):
        run_tool('benchmarks/benchmark_step.py', text)
    assert re.search(
        f'CONFIG should be a path, or .*, but got .*: {message}',
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--synthetic', '1,2'], "but got '1,2'"),
        (['--iters', '1'], 'should be a whole number >= 2, but got .1.'),
        (['--losses', '0'], 'should be a whole number >= 1, but got .0.'),
        (['--warmup', '-1'], 'should be a whole number >= 0, but got .-1.'),
        (['--batch-size', 'x'], 'should be a whole number >= 1, but got .x.'),
    ],
)
def test_bad_numbers(run_tool, capsys, arguments, message):
    with pytest.raises(SystemExit, match='2'):
        run_tool('benchmarks/benchmark_step.py', 'a.py', *arguments)
    assert re.search(message, capsys.readouterr().err)


def test_missing_config(run_tool):
    with pytest.raises(
        SystemExit, match="^FileNotFoundError: .*but 'no.py' is neither"
    ):
        run_tool('benchmarks/benchmark_step.py', 'no.py x=1')


@pytest.mark.slow
def test_cli(run_tool, dump, kd_config, capsys):
    path = dump(kd_config)
    own = f'{path} {KD_WEIGHT}=0.2'
    run_tool(
        'benchmarks/benchmark_step.py',
        path,
        own,
        '--plain-loop',
        '--iters',
        '3',
        '--warmup',
        '1',
    )
    out = capsys.readouterr().out
    assert f'1. {path}\n2. {own}\n\n3 steps of each in turns, ' in out
    assert out.count('1.000 [1.000, 1.000]') == 1
    assert '| plain loop ' in out


@pytest.mark.slow
def test_cli_of_losses(run_tool, dump, dskd_config, capsys):
    path = dump(dskd_config)
    run_tool('benchmarks/benchmark_step.py', path, path, '--losses', '2')
    out = capsys.readouterr().out
    assert 'Total losses, from equal weights on equal batches. On ' in out
    assert out.count('0.0e+00') == 2
