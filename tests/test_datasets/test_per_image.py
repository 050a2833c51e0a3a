from pathlib import Path

import pytest
from mmengine.config import Config

from mmdskd.datasets.per_image import make_per_image, unwrap_dataloader
from mmdskd.models import BaseBatchAugment
from mmdskd.registry import BATCH_AUGMENTS

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'


@BATCH_AUGMENTS.register_module(force=True)
class ByBatchOnly(BaseBatchAugment):
    def augment(self, inputs, generator=None):
        return inputs


def load(name):
    return Config.fromfile(CONFIGS / f'{name}.py').to_dict()


@pytest.mark.parametrize(
    'name',
    [
        'cifar100_bs64',
        'cifar10_bs64',
        'digits_bs64',
        'digits32_bs16',
        'fashion_mnist_bs64',
        'fashion_mnist6k_bs64',
    ],
)
def test_configs_differ_in_the_data_path_only(name):
    """From the one of a config, this makes the other."""
    cfg, expected = load(name), load(f'{name}_per_image')
    preprocessor, train = make_per_image(
        cfg['data_preprocessor'], cfg['train_dataloader']
    )
    assert preprocessor == expected['data_preprocessor']
    pipeline = train['dataset']['pipeline']
    for transform in pipeline:
        if isinstance(transform.get('crop_size'), tuple):
            height, width = transform['crop_size']
            assert height == width
            transform['crop_size'] = height
        transform['type'] = transform['type'].rpartition('.')[2]
    assert train['dataset'] == expected['train_dataloader']['dataset']
    for key in ('batch_size', 'sampler'):
        assert train[key] == expected['train_dataloader'][key]
    val = unwrap_dataloader(cfg['val_dataloader'])
    expected['val_dataloader']['dataset'].pop('test_mode', None)
    assert val['dataset'] == expected['val_dataloader']['dataset']
    assert val['batch_size'] == expected['val_dataloader']['batch_size']
    assert val['collate_fn'] == dict(type='default_collate')
    assert cfg['test_dataloader'] == expected['test_dataloader']


def test_given_configs_are_not_changed():
    cfg = load('cifar100_bs64')
    make_per_image(cfg['data_preprocessor'], cfg['train_dataloader'])
    unwrap_dataloader(cfg['val_dataloader'])
    assert cfg == load('cifar100_bs64')


def test_plain_data_stay():
    cfg = load('cifar100_bs64_per_image')
    assert (
        make_per_image(cfg['data_preprocessor'], cfg['train_dataloader'])
        is None
    )
    loader = cfg['val_dataloader']
    assert unwrap_dataloader(loader) is loader
    assert unwrap_dataloader(None) is None


def test_without_augmentations_or_training():
    cfg = load('cifar100_bs64')
    preprocessor = dict(cfg['data_preprocessor'], augments=None, seed=3)
    plain, train = make_per_image(preprocessor, cfg['train_dataloader'])
    assert plain['type'] == 'mmpretrain.ClsDataPreprocessor'
    assert 'seed' not in plain
    assert train['dataset'] == cfg['train_dataloader']['dataset']['dataset']
    assert make_per_image(cfg['data_preprocessor'], None)[1] is None


def test_what_has_no_twin_stays():
    cfg = load('cifar100_bs64')
    augments = cfg['data_preprocessor']['augments']
    augments.append(dict(type='mmdskd.ByBatchOnly'))
    assert (
        make_per_image(cfg['data_preprocessor'], cfg['train_dataloader'])
        is None
    )
    del augments[-1]
    # Where the transforms would go is not known.
    del cfg['train_dataloader']['dataset']['dataset']['pipeline']
    assert (
        make_per_image(cfg['data_preprocessor'], cfg['train_dataloader'])
        is None
    )


def test_types_of_pure_python_configs():
    """They have the path of the class."""
    cfg = load('cifar10_bs64')
    expected = make_per_image(
        cfg['data_preprocessor'], cfg['train_dataloader']
    )
    cfg['data_preprocessor']['type'] = (
        'mmdskd.models.utils.AugmentingDataPreprocessor'
    )
    cfg['train_dataloader']['dataset']['type'] = (
        'mmdskd.datasets.InMemoryDataset'
    )
    assert (
        make_per_image(cfg['data_preprocessor'], cfg['train_dataloader'])
        == expected
    )
    other = dict(type='mmother.AugmentingDataPreprocessor')
    assert make_per_image(other, None) is None
