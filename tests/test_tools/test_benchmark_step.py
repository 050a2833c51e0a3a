import argparse
import copy
import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from mmdskd.analysis.measure import (
    Quartiles,
    measure_allocations,
    measure_times,
)
from mmdskd.analysis.step_memory import MEGABYTE, find_tensors, measure_memory
from mmdskd.analysis.training_step import LOGITS_STD

TOOL = Path(__file__).parents[2] / 'tools/benchmarks/benchmark_step.py'
KD_WEIGHT = 'model.distiller.distill_losses.loss_kd.loss_weight'


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


@pytest.fixture(autouse=True)
def configs_without_layout(monkeypatch):
    """Each runner lays out its config several times, which takes longer than
    all else here."""
    monkeypatch.setattr(
        'mmengine.config.config.FormatCode',
        lambda text, **kwargs: (text, False),
    )


@pytest.fixture
def build(tool, dump, tmp_path):
    """Build the loops of configs with their own options, by their labels."""

    def run(*configs, **kwargs):
        entries = []
        for config in configs:
            cfg, options = (
                config if isinstance(config, tuple) else (config, '')
            )
            entries.append(tool['parse_entry'](f'{dump(cfg)} {options}'))
        args = argparse.Namespace(
            **{
                **dict(
                    configs=entries,
                    cfg_options=None,
                    batch_size=8,
                    synthetic=None,
                    losses=None,
                    plain_loop=False,
                ),
                **kwargs,
            }
        )
        folder = tmp_path / 'out'
        folder.mkdir()
        return list(tool['build_loops'](args, str(folder)).values())

    return run


def test_own_options(tool):
    text = "a.py x.y='[1, two]' x.z=None pipeline=(3,4) w=0.5 v=a=b u=True"
    entry = tool['parse_entry'](text)
    assert entry == (
        text,
        'a.py',
        {
            'x.y': [1, 'two'],
            'x.z': None,
            'pipeline': (3, 4),
            'w': 0.5,
            'v': 'a=b',
            'u': True,
        },
    )
    assert tool['parse_entry']('pkg::a.py') == ('pkg::a.py', 'pkg::a.py', {})


@pytest.mark.parametrize(
    'text, message',
    [
        ('a.py b.py', "'b.py' is no KEY=VALUE"),
        ('a.py x=1 --y', "'--y' is no KEY=VALUE"),
        ('x=1 a.py', "'x=1' is no path"),
        ('', "'' is no path"),
        ('a.py "x=1', 'No closing quotation'),
        ('a.py x=[1,2', 'Imbalanced brackets'),
    ],
)
def test_bad_options(tool, text, message):
    with pytest.raises(
        argparse.ArgumentTypeError,
        match=f'CONFIG should be a path, or .*, but got .*: {message}',
    ):
        tool['parse_entry'](text)


@pytest.mark.parametrize('text', ['1,2', '1,2,0', 'a,b,c', '1,2,3,4'])
def test_bad_shape(tool, text):
    with pytest.raises(argparse.ArgumentTypeError, match='but got'):
        tool['parse_shape'](text)


@pytest.mark.parametrize(
    'arguments, message',
    [
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
    with pytest.raises(FileNotFoundError, match="but 'no.py' is neither"):
        run_tool('benchmarks/benchmark_step.py', 'no.py x=1')


def test_options_of_a_config_come_last(build, kd_config):
    kd_config.train_dataloader.batch_size = 2
    first, second = build(
        kd_config,
        (kd_config, f'train_dataloader.batch_size=6 {KD_WEIGHT}=0.7'),
        cfg_options={KD_WEIGHT: 0.6},
        batch_size=4,
    )
    for loop, size, weight in ((first, 4, 0.6), (second, 6, 0.7)):
        assert len(loop.batches[0]['inputs']) == size
        distiller = loop.runner.model.distiller
        assert distiller.distill_losses['loss_kd'].loss_weight == weight


def test_steps_take_turns(tool):
    calls = []
    times = measure_times(
        [lambda: calls.append('a'), lambda: calls.append('b')],
        iters=2,
        warmup=1,
    )
    assert calls == ['a', 'b'] * 3
    assert [len(seconds) for seconds in times] == [2, 2]


def test_quartiles(tool):
    quartiles = Quartiles.of([4, 0, 1, 2, 3])
    assert quartiles == (1, 2, 3)
    assert quartiles.format(1) == '2.0 [1.0, 3.0]'


def test_ratios_are_taken_turn_by_turn(tool):
    # The machine gets slower, but b always takes twice the time of a.
    table = tool['format_costs'](
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


def test_dskd_step_runs_hooks(build, dskd_config):
    (loop,) = build(dskd_config)
    assert len(loop.batches[0]['inputs']) == 8
    runner = loop.runner
    loss = runner.model.distiller.distill_losses['loss_dskd']
    before = [buffer.clone() for buffer in loss.buffers()]
    weight = runner.model.architecture.head.fc.weight.clone()
    loop.step()
    assert runner.iter == 1
    assert not torch.equal(runner.model.architecture.head.fc.weight, weight)
    assert any(
        not torch.equal(new, old) for new, old in zip(loss.buffers(), before)
    )


def test_synthetic_images_need_no_data_set(build, plain_config):
    plain_config.train_dataloader.dataset.type = 'NotAtHand'
    (loop,) = build(
        plain_config, synthetic=(1, 12, 10), batch_size=3, losses=2
    )
    loop.step()
    images = [image for batch in loop.batches for image in batch['inputs']]
    assert [tuple(image.shape) for image in images] == [(1, 12, 10)] * 6
    assert not torch.equal(images[0], images[1])


def test_images_must_keep_their_size(build, plain_config):
    plain_config.data_preprocessor = dict(
        plain_config.data_preprocessor,
        type='mmdskd.AugmentingDataPreprocessor',
        augments=[
            dict(type='mmdskd.BatchRandomCrop', crop_size=12, padding=1)
        ],
    )
    with pytest.raises(
        ValueError,
        match=r'makes \(1, 12, 12\) of them.* --cfg-options '
        r'data_preprocessor.augments.0.crop_size=14',
    ):
        build(plain_config, synthetic=(1, 14, 14))


def test_all_start_alike(tool, build, dskd_config):
    """Also where the numbers are drawn in another order, by a wider teacher
    or for other heads."""
    other = copy.deepcopy(dskd_config)
    heads = other.model.distiller.connectors.pop('heads')
    other.model.distiller.connectors.another = dict(heads, out_channels=16)
    other.model.distiller.connectors.heads = heads
    first, second = build(dskd_config, other, losses=2)
    assert len(first.batches) == 2
    for batch, other_batch in zip(first.batches, second.batches):
        assert torch.equal(
            torch.stack(batch['inputs']), torch.stack(other_batch['inputs'])
        )
    theirs = second.runner.model.state_dict()
    for name, tensor in first.runner.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    # The statistics of the teacher are those of the first batch, and its
    # logits are no longer next to 0.
    model = first.runner.model
    inputs = model.data_preprocessor(first.batches[0], True)['inputs']
    norm = model.teacher.backbone.bn1
    features = model.teacher.backbone.conv1(inputs)
    torch.testing.assert_close(norm.running_mean, features.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, features.var(dim=(0, 2, 3)))
    logits = model.teacher.eval()(inputs)
    assert logits.std().item() == pytest.approx(LOGITS_STD, rel=1e-4)


def test_losses_tell_what_differs(tool, build, kd_config):
    loops = build(
        kd_config,
        kd_config,
        (kd_config, f'{KD_WEIGHT}=10.1'),
        losses=3,
        plain_loop=True,
    )
    plain, first, second, other = tool['measure_losses'](loops, 3)
    assert len(first) == len(set(first)) == 3
    assert first == second
    assert plain == pytest.approx(first, rel=1e-5)
    assert tool['relative_difference'](first, second) == 0
    assert tool['relative_difference'](other, first) > 1e-3
    # The first losses are from the same weights, and differ in nothing else.
    scalars = loops[1].runner.message_hub.log_scalars
    distillation = scalars['train/distill.loss_kd'].data[0][0] / 0.1
    assert other[0] - first[0] == pytest.approx(10 * distillation, rel=1e-3)


def test_a_teacher_out_of_the_state_dict_counts(tool, build, kd_config):
    stock, frozen = build(
        kd_config, (kd_config, 'model.type=mmdskd.FrozenTeacherDistill')
    )
    assert frozen.networks == [
        frozen.runner.model,
        frozen.runner.model.teacher,
    ]
    sizes = [
        sum(
            tensor.numel()
            for tensor in find_tensors(loop.networks).values()
            if tensor.is_floating_point()
        )
        for loop in (stock, frozen)
    ]
    assert sizes[0] == sizes[1]
    losses = tool['measure_losses']([stock, frozen], 2)
    assert tool['relative_difference'](*losses) < 1e-5


def test_losses_are_formatted(tool):
    table = tool['format_losses'](['a', 'b'], [[2.0, 4.0], [2.002, 3.992]])
    assert [
        cell.strip() for cell in table.splitlines()[-1].split('|')[1:-1]
    ] == ['b', '2.002', '3.992', '2.0e-03']
    nan = float('nan')
    assert 'nan' in tool['format_losses'](['a', 'b'], [[2.0, 4.0], [2.0, nan]])


def test_plain_loop_is_the_config_in_plain_pytorch(build, kd_config):
    kd_config.model.architecture.head.loss.loss_weight = 0.5
    kd_config.model.distiller.distill_losses.loss_kd.update(
        tau=2, loss_weight=3.0
    )
    plain, loop = build(kd_config, plain_loop=True)
    assert plain.student.backbone.layer1[0].relu.inplace
    assert not plain.teacher.training and plain.student.training
    student = loop.runner.model.architecture
    start = student.head.fc.weight.clone()
    for _ in range(2):
        plain.step()
        loop.step()
        assert plain.loss == pytest.approx(loop.loss, rel=1e-5)
    assert not torch.equal(student.head.fc.weight, start)
    for name, tensor in plain.student.state_dict().items():
        torch.testing.assert_close(
            tensor, student.state_dict()[name], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'model.distiller.distill_losses.loss_kd.type': 'DKDLoss'},
            r'whose model.distiller.distill_losses.loss_kd is a KLDivergence with no '
            r"setting but tau, loss_weight, but got .*'DKDLoss'",
        ),
        (
            {'model.distiller.distill_losses.loss_kd.reduction': 'sum'},
            "but got .*'reduction': 'sum'",
        ),
        (
            {'model.distiller.distill_losses.more': dict(type='KLDivergence')},
            r'one loss in model.distiller.distill_losses, but got '
            r"\['loss_kd', 'more'\]",
        ),
        (
            {'model.architecture.head.loss.type': 'LabelSmoothLoss'},
            'head.loss is a CrossEntropyLoss .* but got',
        ),
        (
            {'optim_wrapper.type': 'AmpOptimWrapper'},
            'optim_wrapper is a OptimWrapper with no setting but optimizer',
        ),
        (
            {'optim_wrapper.clip_grad': dict(max_norm=1)},
            "but got .*'clip_grad'",
        ),
    ],
)
def test_plain_loop_takes_logits_kd(build, kd_config, change, message):
    kd_config.merge_from_dict(change)
    with pytest.raises(
        ValueError, match=f'--plain-loop should meet .*{message}'
    ):
        build(kd_config, plain_loop=True)


def test_plain_loop_needs_a_distiller(build, plain_config):
    with pytest.raises(ValueError, match=r'but got \[\]'):
        build(plain_config, plain_loop=True)


needs_cpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason='the account is that of the GPU'
)


@needs_cpu
def test_allocations(tool):
    measure = measure_allocations
    kept = []

    def allocate():
        kept.append(torch.empty(1000))
        first = torch.empty(3000)
        del first
        second = torch.empty(500)
        third = torch.empty(2000)
        del second, third

    assert measure(allocate) == (4000, 16000)
    # That which was taken in an earlier call is given back.
    assert measure(kept.clear) == (-4000, 0)
    assert measure(lambda: None) == (0, 0)


class Accumulating:
    """A loop whose first step replaces a weight and keeps a tensor."""

    def __init__(self):
        self.network = nn.Linear(500, 100, bias=False)
        # Shared, as by an averaged model: it counts once.
        self.networks = [self.network, nn.Sequential(self.network)]
        self.state = None

    def step(self):
        if self.state is None:
            self.state = torch.empty(1000)
            self.network.weight = nn.Parameter(torch.empty(500, 100))
        torch.empty(3000)


@needs_cpu
def test_memory_is_what_is_held_and_the_peak_of_a_step(tool):
    expected = 4 * (500 * 100 + 1000 + 3000)
    memory = measure_memory(Accumulating())
    assert memory * MEGABYTE == expected


@needs_cpu
def test_memory_of_training(tool, build, kd_config):
    """The features of twice the images need twice the memory, and what is
    held is weights, momenta and the gradients, or some of them."""
    loops = build(
        (kd_config, 'train_dataloader.batch_size=20'),
        (kd_config, 'train_dataloader.batch_size=40'),
        (kd_config, 'train_dataloader.batch_size=60'),
        plain_loop=True,
    )
    plain, *memory = (MEGABYTE * measure_memory(loop) for loop in loops)
    assert memory[2] - memory[1] == pytest.approx(
        memory[1] - memory[0], rel=0.02
    )
    held = 2 * memory[0] - memory[1]
    bytes_of = {
        name: sum(4 * p.numel() for p in network.parameters())
        for name, network in (
            ('student', loops[0].student),
            ('teacher', loops[0].teacher),
        )
    }
    assert held > bytes_of['teacher'] + 2 * bytes_of['student']
    assert held < bytes_of['teacher'] + 4 * bytes_of['student']
    assert plain < 1.1 * memory[0]


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
