"""Ways from a data set to the model."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdskd.analysis.data_path import make_paths, use_random_images

DATASETS = Path(__file__).parents[2] / 'configs/_base_/datasets'


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def config(name='cifar100_bs64'):
    cfg = Config.fromfile(DATASETS / f'{name}.py')
    cfg.train_dataloader.batch_size = 8
    return cfg


@pytest.mark.parametrize(
    'name, shape',
    [('cifar100_bs64', (3, 32, 32)), ('digits32_bs16', (1, 32, 32))],
)
def test_both_paths_feed_the_same_images(name, shape, monkeypatch):
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
    paths = make_paths(cfg, 0, 2, 'cpu')
    try:
        assert [run() for run in paths.values()] == [16, 16]
    finally:
        hook.remove()
    assert [tuple(batch.shape[1:]) for batch in batches] == [shape] * 4
    assert torch.equal(torch.cat(batches[:2]), torch.cat(batches[2:]))


def test_per_image_configs_have_nothing_to_compare():
    with pytest.raises(
        ValueError, match='CONFIG should have a data_preprocessor of the'
    ):
        make_paths(config('cifar100_bs64_per_image'), 0, 2, 'cpu')


def test_batches_are_as_many_as_there_are():
    cfg = config()
    use_random_images(cfg, 19)
    paths = make_paths(cfg, 0, 50, 'cpu')
    assert [run() for run in paths.values()] == [16, 16]


def test_too_few_images():
    cfg = config()
    use_random_images(cfg, 7)
    with pytest.raises(ValueError, match='a batch of 8 images, but has 7'):
        make_paths(cfg, 0, 2, 'cpu')


def test_data_set_that_is_not_in_memory():
    with pytest.raises(
        ValueError,
        match='should have a mmdskd.InMemoryDataset for training, but has',
    ):
        use_random_images(config('cifar100_bs64_per_image'), 64)
