import pytest
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor

from mmdskd.export.colors import find_colors, find_data_colors, reverse
from mmdskd.models.utils.normalization import reverses_colors

PLAIN, TO_RGB = ClsDataPreprocessor(), ClsDataPreprocessor(to_rgb=True)


def config(dataset):
    return Config(
        dict(default_scope='mmpretrain', val_dataloader=dict(dataset=dataset))
    )


def loads(**kwargs):
    return dict(
        type='ImageNet',
        pipeline=[
            dict(type='LoadImageFromFile', **kwargs),
            dict(type='PackInputs'),
        ],
    )


@pytest.mark.parametrize(
    'dataset, preprocessor, channels, expected',
    [
        (loads(), PLAIN, 3, 'bgr'),
        (loads(), TO_RGB, 3, 'bgr'),
        (loads(color_type='unchanged'), TO_RGB, 3, 'unknown'),
        (loads(), TO_RGB, 1, 'grey'),
        (loads(), TO_RGB, 4, 'unknown'),
        (dict(type='CIFAR100'), PLAIN, 3, 'rgb'),
        (
            dict(
                type='mmdskd.InMemoryDataset',
                dataset=dict(type='mmdskd.CIFAR10', pipeline=[]),
            ),
            PLAIN,
            3,
            'rgb',
        ),
        (dict(type='CustomDataset'), TO_RGB, 3, 'bgr'),
        (dict(type='CustomDataset'), PLAIN, 3, 'unknown'),
    ],
)
def test_order_in_the_data(dataset, preprocessor, channels, expected):
    assert find_colors(config(dataset), preprocessor, channels) == expected


def test_pipelines_that_convert():
    dataset = loads()
    dataset['pipeline'].insert(1, dict(type='NumpyToPIL', to_rgb=True))
    assert find_colors(config(dataset), TO_RGB, 3) == 'unknown'


def test_splits_that_differ():
    cfg = config(loads())
    assert find_data_colors(cfg) == 'bgr'
    cfg.train_dataloader = dict(dataset=dict(type='CIFAR100'))
    assert find_data_colors(cfg) == 'unknown'


def test_without_data():
    assert find_data_colors(Config({})) is None
    assert find_colors(Config({}), TO_RGB, 3) == 'bgr'
    assert find_colors(Config({}), PLAIN, 3) == 'unknown'


def test_what_reverses():
    assert not reverses_colors(PLAIN)
    assert reverses_colors(TO_RGB)
    for name in ('bgr_to_rgb', 'rgb_to_bgr'):
        assert reverses_colors(ImgDataPreprocessor(**{name: True}))
    assert not reverses_colors(ImgDataPreprocessor())
    assert [reverse(c) for c in ('rgb', 'bgr', 'grey')] == [
        'bgr', 'rgb', 'grey'
    ]  # fmt: skip
