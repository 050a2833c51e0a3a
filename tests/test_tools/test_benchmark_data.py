import argparse
import builtins
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdskd.analysis.data_path import (
    add_kornia,
    add_torchvision,
    make_paths,
    translate,
    use_random_images,
)
from mmdskd.models import BaseBatchAugment, BatchRandomCrop, BatchRandomFlip

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/benchmarks/benchmark_data.py'
DATASETS = ROOT / 'configs/_base_/datasets'
AUGMENTS = [BatchRandomCrop(32, 4), BatchRandomFlip(0.5)]


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def config(name='cifar100_bs64'):
    cfg = Config.fromfile(DATASETS / f'{name}.py')
    cfg.train_dataloader.batch_size = 8
    return cfg


def arguments(**kwargs):
    return argparse.Namespace(**{**dict(workers=0, batches=2), **kwargs})


@pytest.mark.parametrize(
    'name, shape',
    [('cifar100_bs64', (3, 32, 32)), ('digits32_bs16', (1, 32, 32))],
)
def test_both_paths_feed_the_same_images(tool, name, shape, monkeypatch):
    cfg = config(name)
    use_random_images(cfg, 16)
    # A crop of the whole image, and no flip, leave it as it is.
    cfg.data_preprocessor.augments = [
        dict(type='mmdskd.BatchRandomCrop', crop_size=32),
        dict(type='mmdskd.BatchRandomFlip', prob=0.0),
    ]
    batches = []

    def keep(module, args, data):
        if isinstance(data, dict):  # not from the augmentations in it
            batches.append(data['inputs'])

    hook = torch.nn.modules.module.register_module_forward_hook(keep)
    paths = make_paths(cfg, arguments(), 'cpu')
    try:
        assert [run() for run in paths.values()] == [16, 16]
    finally:
        hook.remove()
    assert [tuple(batch.shape[1:]) for batch in batches] == [shape] * 4
    assert torch.equal(torch.cat(batches[:2]), torch.cat(batches[2:]))


def test_per_image_configs_have_nothing_to_compare(tool):
    with pytest.raises(
        ValueError, match='CONFIG should have a data_preprocessor of the'
    ):
        make_paths(config('cifar100_bs64_per_image'), arguments(), 'cpu')


def test_functions_take_turns(tool):
    calls = []

    def function(name):
        return lambda: calls.append(name) or 4

    times = tool['measure']({'a': function('a'), 'b': function('b')}, 2, 'cpu')
    assert calls == ['a', 'b'] * 3
    assert {name: len(values) for name, values in times.items()} == dict(
        a=2, b=2
    )


def test_table(tool):
    # The machine gets slower, but b is always twice as fast as a.
    table = tool['format_table'](
        dict(b=[1e-5, 2e-5, 4e-5], a=[2e-5, 4e-5, 8e-5]), 'a'
    )
    assert table.splitlines()[2:] == [
        '| a | 25,000 [18,750, 37,500] | 40.0 [30.0, 60.0] | '
        '1.00 [1.00, 1.00] |',
        '| b | 50,000 [37,500, 75,000] | 20.0 [15.0, 30.0] | '
        '2.00 [2.00, 2.00] |',
    ]


def test_torchvision_does_the_same(tool):
    pytest.importorskip('torchvision.transforms.v2')
    functions = {}
    assert add_torchvision(functions, AUGMENTS).startswith('torchvis')
    (function,) = functions.values()
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    outputs = function(images)
    assert outputs.shape == images.shape and outputs.dtype == torch.uint8
    assert len({tuple(map(tuple, o[0].eq(0).tolist())) for o in outputs}) > 9


def test_kornia_does_the_same(tool):
    pytest.importorskip('kornia')
    functions = {}
    assert add_kornia(functions, AUGMENTS).startswith('Kornia ')
    assert len(functions) == 2
    images = torch.randint(1, 256, (64, 3, 32, 32), dtype=torch.uint8)
    for function in functions.values():
        outputs = function(images)
        assert outputs.shape == images.shape
        # Each image has a place of its own.
        assert (
            len({tuple(map(tuple, o[0].eq(0).tolist())) for o in outputs}) > 9
        )


@pytest.mark.parametrize('library', ['kornia', 'torchvision'])
def test_libraries_may_be_missing(tool, library, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition('.')[0] == library:
            raise ImportError(f'No module named {name!r}')
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    functions = {}
    note = tool[f'add_{library}'](functions, AUGMENTS)
    assert f"No module named '{library}'" in note
    assert not functions


def test_unknown_augmentation_has_no_twin(tool):

    class Other(BaseBatchAugment):
        def augment(self, inputs, generator=None):
            return inputs

    augments = [BatchRandomFlip(0.5), Other()]
    assert translate(augments, None, lambda prob: prob) is None
    assert translate(augments[:1], None, lambda prob: prob) == [0.5]


def test_device_that_is_not_there(tool):
    assert tool['parse_device']('cpu') == 'cpu'
    for device in ('cuda:99', 'gpu'):
        with pytest.raises(
            argparse.ArgumentTypeError,
            match=f"'{device}' should be a device of this machine: ",
        ):
            tool['parse_device'](device)


def test_cli(run_tool, capsys):
    run_tool(
        'benchmarks/benchmark_data.py',
        DATASETS / 'digits_bs64.py',
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


def test_cli_takes_what_images_there_are(run_tool, capsys):
    run_tool(
        'benchmarks/benchmark_data.py',
        DATASETS / 'digits_bs64.py',
        '--synthetic',
        '130',
        '--turns',
        '2',
        '--augment-sizes',
        '--devices',
        'cpu',
    )
    assert 'MMPretrain, image by image' in capsys.readouterr().out


@pytest.mark.parametrize(
    'config, arguments, message',
    [
        (
            'cifar100_bs64',
            ['--synthetic', '63'],
            'at least a batch of 64 images, but has 63',
        ),
        (
            'cifar100_bs64_per_image',
            ['--synthetic', '64'],
            'should have a mmdskd.InMemoryDataset for training, but has',
        ),
    ],
)
def test_cli_with_other_data(run_tool, config, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_tool(
            'benchmarks/benchmark_data.py',
            DATASETS / f'{config}.py',
            *arguments,
        )


def test_cli_with_too_few_turns(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool(
            'benchmarks/benchmark_data.py',
            DATASETS / 'digits_bs64.py',
            '--turns',
            '1',
        )
    assert "whole number >= 2, but got '1'" in capsys.readouterr().err
