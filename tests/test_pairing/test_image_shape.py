import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmdskd.pairing.image_shape import find_image_shape


@pytest.mark.parametrize(
    'path, shape',
    [
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', (3, 224, 224)),
        ('mmpretrain::resnet/resnet18_8xb16_cifar10.py', (3, 32, 32)),
        ('mmpretrain::lenet/lenet5_mnist.py', (1, 32, 32)),
        (
            'mmpretrain::efficientnet/efficientnet-b2_8xb32_in1k.py',
            (3, 260, 260),
        ),
        ('mmpretrain::deit/deit-base_16xb32_in1k-384px.py', (3, 384, 384)),
        ('mmdskd::vanilla/cifar100/resnet20_1xb64_cifar100.py', (3, 32, 32)),
        ('mmdskd::vanilla/digits/resnet20_1xb64_digits.py', (1, 16, 16)),
        ('mmdskd::vanilla/digits32/resnet8x4_1xb16_digits32.py', (1, 32, 32)),
        (
            'mmdskd::vanilla/tiny_imagenet/resnet20_1xb256_tiny-imagenet.py',
            (3, 64, 64),
        ),
    ],
)
def test_configs(path, shape):
    assert find_image_shape(get_config(path)) == shape


def test_a_scale_is_width_and_height_and_a_crop_is_not():
    pipeline = [
        dict(type='Resize', scale=(96, 64)),
        dict(type='mmpretrain.RandomFlip'),
    ]
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=pipeline))))
    assert find_image_shape(cfg) == (3, 64, 96)
    pipeline.append(dict(type='mmpretrain.CenterCrop', crop_size=(48, 40)))
    cfg = Config(
        dict(
            val_dataloader=dict(
                dataset=dict(datasets=[dict(pipeline=pipeline)])
            ),
            data_preprocessor=dict(mean=[1.0]),
        )
    )
    assert find_image_shape(cfg) == (1, 48, 40)


def test_a_known_dataset_and_none():
    dataset = dict(type='RepeatDataset', dataset=dict(type='mmdskd.CIFAR10'))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    assert find_image_shape(cfg) == (3, 32, 32)
    assert find_image_shape(Config(dict(model=dict(type='any')))) is None
