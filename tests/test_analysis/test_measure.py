"""Time, speed and memory of functions."""

import time
import types

import pytest
import torch

from mmdskd.analysis import measure
from mmdskd.analysis.measure import (
    Quartiles,
    describe_device,
    describe_machine,
    format_speeds,
    measure_allocations,
    measure_speeds,
    measure_times,
    synchronize,
)


def test_steps_take_turns():
    calls = []
    times = measure_times(
        [lambda: calls.append('a'), lambda: calls.append('b')],
        iters=2,
        warmup=1,
    )
    assert calls == ['a', 'b'] * 3
    assert [len(seconds) for seconds in times] == [2, 2]


def test_quartiles():
    quartiles = Quartiles.of([4, 0, 1, 2, 3])
    assert quartiles == (1, 2, 3)
    assert quartiles.format(1) == '2.0 [1.0, 3.0]'
    assert Quartiles(1234, 2345, 3456).format(0) == '2,345 [1,234, 3,456]'


@pytest.mark.parametrize(
    'device, calls',
    [('cpu', []), ('cuda', [()]), ('cuda:1', [(1,)]), (None, [()])],
)
def test_any_accelerator_is_waited_for(device, calls, monkeypatch):
    """Which is not only CUDA: None is what MMEngine trains on."""
    found = []
    kind = 'cuda' if device else 'xpu'
    monkeypatch.setattr(measure, 'get_device', lambda: 'xpu')
    module = types.SimpleNamespace(
        synchronize=lambda *args: found.append(args)
    )
    monkeypatch.setattr(torch, kind, module, raising=False)
    synchronize(device)
    assert found == calls


def test_work_is_waited_for_before_and_after(monkeypatch):
    calls = []
    monkeypatch.setattr(measure, 'synchronize', calls.append)
    measure_times([lambda: calls.append('step')], 1, 1, 'cuda:1')
    assert calls == ['cuda:1', 'step', 'cuda:1'] * 2


def test_speeds_are_per_image(monkeypatch):
    """After one turn that does not count."""
    calls = []
    clock = iter(range(100))

    def function(name, images):
        return lambda: calls.append(name) or images

    monkeypatch.setattr(time, 'perf_counter', lambda: next(clock))
    times = measure_speeds(dict(a=function('a', 4), b=function('b', 2)), 2)
    assert calls == ['a', 'b'] * 3
    assert times == dict(a=[1 / 4] * 2, b=[1 / 2] * 2)


def test_speeds_are_compared_turn_by_turn():
    # The machine gets slower, but b is always twice as fast as a.
    table = format_speeds(
        dict(b=[1e-5, 2e-5, 4e-5], a=[2e-5, 4e-5, 8e-5]), 'a'
    )
    assert table.splitlines()[2:] == [
        '| a | 25,000 [18,750, 37,500] | 40.0 [30.0, 60.0] | '
        '1.00 [1.00, 1.00] |',
        '| b | 50,000 [37,500, 75,000] | 20.0 [15.0, 30.0] | '
        '2.00 [2.00, 2.00] |',
    ]


def test_device():
    threads = torch.get_num_threads()
    assert describe_device('cpu') == f'CPU, {threads} threads'


@pytest.mark.parametrize(
    'info, name',
    [
        (
            'processor\t: 0\nmodel name\t: Abc 1 @ 2GHz\nflags\t: fpu\n',
            'Abc 1 @ 2GHz',
        ),
        ('processor\t: 0\n', 'arm'),
        (None, 'arm'),
    ],
)
def test_machine(tmp_path, monkeypatch, info, name):
    path = tmp_path / 'cpuinfo'
    if info:
        path.write_text(info)
    monkeypatch.setattr(measure, 'CPU_INFO', path)
    monkeypatch.setattr(measure, 'get_device', lambda: 'cpu')
    monkeypatch.setattr('platform.processor', lambda: '')
    monkeypatch.setattr('platform.machine', lambda: 'arm')
    monkeypatch.setattr('os.cpu_count', lambda: 3)
    assert describe_machine() == f'{name}, 3 cores'


def test_machine_with_an_accelerator(monkeypatch):
    monkeypatch.setattr(measure, 'get_device', lambda: 'meta')
    assert describe_machine() == 'meta'


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='the account is that of the GPU'
)
def test_allocations():
    kept = []

    def allocate():
        kept.append(torch.empty(1000))
        first = torch.empty(3000)
        del first
        second = torch.empty(500)
        third = torch.empty(2000)
        del second, third

    assert measure_allocations(allocate) == (4000, 16000)
    # That which was taken in an earlier call is given back.
    assert measure_allocations(kept.clear) == (-4000, 0)
    assert measure_allocations(lambda: None) == (0, 0)
