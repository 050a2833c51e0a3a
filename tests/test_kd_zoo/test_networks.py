"""Which network a file of the KD zoo holds, and how it is told apart."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from test_kd_zoo.weights import empty, save
from test_kd_zoo.zoo import (
    BOTTLENECK,
    large_resnet,
    mobilenet_v2,
    shufflenet_v1,
    shufflenet_v2,
    thin_resnet,
    vgg,
    wide_resnet,
    zoo_shapes,
)

from mmdskd.kd_zoo.convert import convert_kd_zoo_checkpoint
from mmdskd.kd_zoo.networks import find_config, get_network

FOLDER = Path(__file__).parents[2] / 'configs/vanilla'
CONFIGS = sorted(FOLDER.glob('cifar100/*.py')) + sorted(
    FOLDER.glob('tiny_imagenet/*.py')
)


@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_finds_the_config_of_the_network(config):
    model = Config.fromfile(config).model
    network = get_network(
        config.stem.partition('_')[0], model.head.num_classes
    )
    assert find_config(network, FOLDER) == config
    for part in ('type', 'backbone', 'neck', 'head'):
        assert network.model[part] == model[part]


def test_knows_configs():
    assert len(CONFIGS) >= 25
    assert find_config(get_network('resnet20', 10), FOLDER) is None


@pytest.mark.parametrize('arch', ['wrn_16_2', 'WRN_16_2', 'wrn16-2'])
def test_arch_that_fits(tmp_path, arch):
    path = save(tmp_path, empty(zoo_shapes('wrn_16_2')))
    assert convert_kd_zoo_checkpoint(path, arch).network.name == 'wrn16-2'


@pytest.mark.parametrize(
    'zoo_name, arch, error',
    [
        (
            'resnet20',
            'resnet14',
            r'"\S+field.pth" should be \'resnet14\', but is another network: '
            r'77 tensors agree, but 30 unexpected \(layer1.2.conv1.weight, '
            r'layer1.2.bn1.weight, layer1.2.bn1.bias, ...\). Of all networks, '
            r'resnet20 with 5 classes fits\.',
        ),
        (
            'wrn_16_2',
            'wrn_16_1',
            r'1 unexpected \(block1.layer.0.convShortcut.weight\), \d+ of '
            r'another shape \(block1.layer.0.conv1.weight is '
            r'\(32, 16, 3, 3\) and not \(16, 16, 3, 3\), '
            '.*wrn16-2 with 5 classes fits',
        ),
        ('ResNet50', 'vgg13', r'\'vgg13\', .* resnet50 with 5 classes fits'),
        ('resnet8', 'resnet9', 'depth should be 6n \\+ 2'),
        (
            'resnet8',
            'vgg8_bn',
            r'arch should be one of .*wrn<6n\+4>-<k>.*, but '
            "got 'vgg8_bn'",
        ),
    ],
)
def test_arch_that_does_not_fit(tmp_path, zoo_name, arch, error):
    path = save(tmp_path, empty(zoo_shapes(zoo_name)))
    with pytest.raises(ValueError, match=error):
        convert_kd_zoo_checkpoint(path, arch)


def test_tells_the_nearest_network(tmp_path):
    shapes = zoo_shapes('resnet20')
    shapes['layer1.0.bn1.weight'] = (17,)
    shapes['fc.bias'] = (10,)
    shapes['extra.weight'] = (2, 2)
    del shapes['layer3.2.bn2.running_mean']
    with pytest.raises(
        ValueError,
        match=r'the nearest network is resnet20 with 5 classes: 104 '
        r'tensors agree, but 1 missing \(layer3.2.bn2.running_mean\), '
        r'1 unexpected \(extra.weight\), 2 of another shape '
        r'\(layer1.0.bn1.weight is \(17,\) and not \(16,\), fc.bias is '
        r'\(10,\) and not \(5,\)\)\.',
    ):
        convert_kd_zoo_checkpoint(save(tmp_path, empty(shapes)))


@pytest.mark.parametrize(
    'changed, nearest',
    [
        (lambda: thin_resnet(5, 3, 16, (24, 48, 96)), 'resnet20'),
        (lambda: large_resnet(5, (2, 3, 4, 2), **BOTTLENECK), 'resnet50'),
        (lambda: {**wide_resnet(5, 7, 2), 'fc.weight': (5, 64)}, 'wrn46-2'),
        (lambda: vgg(5, (2, 2, 2, 2, 3)), 'vgg13'),
        (
            lambda: {**mobilenet_v2(5, 0.5), 'conv1.0.weight': (16, 3, 5, 5)},
            'mobilenetv2',
        ),
        (
            lambda: {**shufflenet_v1(5), 'conv1.weight': (24, 3, 3, 3)},
            'shufflenetv1',
        ),
        (lambda: shufflenet_v2(5, (40, 80, 160, 512)), 'shufflenetv2-0-5'),
        # As the ShuffleNetV2 of width 0.2, which has fewer blocks.
        (
            lambda: {
                key: shape
                for key, shape in shufflenet_v2(5, (40, 80, 160, 512)).items()
                if key[:8]
                not in ('layer2.4', 'layer2.5', 'layer2.6', 'layer2.7')
            },
            'shufflenetv2-0-5',
        ),
    ],
)
def test_nearest_is_of_the_same_family(tmp_path, changed, nearest):
    with pytest.raises(
        ValueError, match=f'nearest network is {nearest}.* with 5 class'
    ):
        convert_kd_zoo_checkpoint(save(tmp_path, empty(changed())))


def test_has_nothing_in_common(tmp_path):
    with pytest.raises(
        ValueError,
        match=r'should be a network of the KD zoo \(resnet18.*, but it has '
        'no key in common with any of them: a.weight, b.weight, ...',
    ):
        convert_kd_zoo_checkpoint(
            save(
                tmp_path,
                {'a.weight': torch.ones(1), 'b.weight': torch.ones(1)},
            )
        )


@pytest.mark.parametrize(
    'key, shape, error',
    [
        (
            'conv1.weight',
            (64, 3, 7, 7),
            'torchvision ResNet with a 7x7 stem, such as the ResNet50 of '
            'SemCKD',
        ),
        (
            'stage1.residual.0.weight',
            (32, 32, 1, 1),
            "mdistiller's MobileNetV2 for Tiny-ImageNet",
        ),
        ('features.0.0.weight', (32, 3, 3, 3), 'torchvision MobileNetV2'),
        (
            'stage2.0.branch1.0.weight',
            (24, 1, 3, 3),
            'torchvision ShuffleNetV2',
        ),
        ('features.0.weight', (64, 3, 3, 3), 'torchvision VGG'),
    ],
)
@pytest.mark.parametrize('arch', [None, 'ResNet50'])
def test_refuses_other_networks_of_the_zoo(tmp_path, key, shape, error, arch):
    # SemCKD's ResNet50 has the names of a thin ResNet.
    shapes = {**zoo_shapes('resnet8'), key: shape}
    with pytest.raises(ValueError, match=error):
        convert_kd_zoo_checkpoint(save(tmp_path, empty(shapes)), arch)
