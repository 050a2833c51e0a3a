import argparse
import os
import zlib

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint

from mmdskd.kd_zoo.convert import convert_kd_zoo_checkpoint
from mmdskd.kd_zoo.networks import get_network
from mmdskd.registry import MODELS
from mmdskd.utils import CheckpointError

# The field's names and shapes, written out by hand.


def conv(name, out_channels, in_channels, kernel, bias=False):
    shapes = {f'{name}.weight': (out_channels, in_channels, kernel, kernel)}
    if bias:
        shapes[f'{name}.bias'] = (out_channels,)
    return shapes


def bn(name, channels):
    parts = ('weight', 'bias', 'running_mean', 'running_var')
    shapes = {f'{name}.{part}': (channels,) for part in parts}
    return {**shapes, f'{name}.num_batches_tracked': ()}


def linear(name, num_classes, channels):
    return {
        f'{name}.weight': (num_classes, channels),
        f'{name}.bias': (num_classes,),
    }


def thin_resnet(num_classes, blocks, stem=16, stages=(16, 32, 64)):
    shapes = {**conv('conv1', stem, 3, 3), **bn('bn1', stem)}
    before = stem
    for stage, width in enumerate(stages, 1):
        for i in range(blocks):
            name = f'layer{stage}.{i}'
            shapes.update(conv(f'{name}.conv1', width, before, 3))
            shapes.update(bn(f'{name}.bn1', width))
            shapes.update(conv(f'{name}.conv2', width, width, 3))
            shapes.update(bn(f'{name}.bn2', width))
            if before != width or (i == 0 and stage > 1):
                shapes.update(conv(f'{name}.downsample.0', width, before, 1))
                shapes.update(bn(f'{name}.downsample.1', width))
            before = width
    return {**shapes, **linear('fc', num_classes, before)}


def large_resnet(num_classes, blocks, kernels, expansion):
    shapes = {**conv('conv1', 64, 3, 3), **bn('bn1', 64)}
    before = 64
    for stage, num_blocks in enumerate(blocks, 1):
        inner = 32 * 2**stage
        width = inner * expansion
        for i in range(num_blocks):
            name = f'layer{stage}.{i}'
            channels = [before] + [inner] * (len(kernels) - 1) + [width]
            for j, kernel in enumerate(kernels, 1):
                shapes.update(
                    conv(
                        f'{name}.conv{j}', channels[j], channels[j - 1], kernel
                    )
                )
                shapes.update(bn(f'{name}.bn{j}', channels[j]))
            if i == 0 and before != width:
                shapes.update(conv(f'{name}.shortcut.0', width, before, 1))
                shapes.update(bn(f'{name}.shortcut.1', width))
            before = width
    return {**shapes, **linear('linear', num_classes, before)}


def wide_resnet(num_classes, blocks, widen_factor):
    shapes = conv('conv1', 16, 3, 3)
    before = 16
    for stage in (1, 2, 3):
        width = 8 * 2**stage * widen_factor
        for i in range(blocks):
            name = f'block{stage}.layer.{i}'
            shapes.update(bn(f'{name}.bn1', before))
            shapes.update(conv(f'{name}.conv1', width, before, 3))
            shapes.update(bn(f'{name}.bn2', width))
            shapes.update(conv(f'{name}.conv2', width, width, 3))
            if before != width:
                shapes.update(conv(f'{name}.convShortcut', width, before, 1))
            before = width
    shapes.update(bn('bn1', before))
    return {**shapes, **linear('fc', num_classes, before)}


def vgg(num_classes, convs):
    shapes, before = {}, 3
    for block, width in enumerate((64, 128, 256, 512, 512)):
        for i in range(convs[block]):
            name = f'block{block}'
            shapes.update(conv(f'{name}.{3 * i}', width, before, 3, bias=True))
            shapes.update(bn(f'{name}.{3 * i + 1}', width))
            before = width
    return {**shapes, **linear('classifier', num_classes, before)}


def mobilenet_v2(num_classes, widen_factor):
    groups = (
        (1, 16, 1),
        (6, 24, 2),
        (6, 32, 3),
        (6, 64, 4),
        (6, 96, 3),
        (6, 160, 3),
        (6, 320, 1),
    )
    before = int(32 * widen_factor)
    shapes = {**conv('conv1.0', before, 3, 3), **bn('conv1.1', before)}
    for number, (expansion, width, num_blocks) in enumerate(groups):
        width = int(width * widen_factor)
        for i in range(num_blocks):
            name = f'blocks.{number}.{i}.conv'
            inner = before * expansion
            shapes.update(conv(f'{name}.0', inner, before, 1))
            shapes.update(bn(f'{name}.1', inner))
            shapes.update(conv(f'{name}.3', inner, 1, 3))
            shapes.update(bn(f'{name}.4', inner))
            shapes.update(conv(f'{name}.6', width, inner, 1))
            shapes.update(bn(f'{name}.7', width))
            before = width
    shapes.update(conv('conv2.0', 1280, before, 1))
    shapes.update(bn('conv2.1', 1280))
    return {**shapes, **linear('classifier.0', num_classes, 1280)}


def shufflenet_v1(num_classes):
    shapes = {**conv('conv1', 24, 3, 1), **bn('bn1', 24)}
    before = 24
    for stage, (width, blocks) in enumerate(((240, 4), (480, 8), (960, 4)), 1):
        for i in range(blocks):
            name = f'layer{stage}.{i}'
            out = width - before if i == 0 else width
            inner = out // 4
            groups = 1 if before == 24 else 3
            shapes.update(conv(f'{name}.conv1', inner, before // groups, 1))
            shapes.update(bn(f'{name}.bn1', inner))
            shapes.update(conv(f'{name}.conv2', inner, 1, 3))
            shapes.update(bn(f'{name}.bn2', inner))
            shapes.update(conv(f'{name}.conv3', out, inner // 3, 1))
            shapes.update(bn(f'{name}.bn3', out))
            before = width
    return {**shapes, **linear('linear', num_classes, before)}


def shufflenet_v2(num_classes, widths):
    shapes = {**conv('conv1', 24, 3, 1), **bn('bn1', 24)}
    before = 24
    for stage, (width, blocks) in enumerate(zip(widths, (4, 8, 4)), 1):
        half = width // 2
        for i in range(blocks):
            convs = ((half, half, 1), (half, 1, 3), (half, half, 1))
            if i == 0:
                convs = (
                    (before, 1, 3),
                    (half, before, 1),
                    (half, before, 1),
                    (half, 1, 3),
                    (half, half, 1),
                )
            for j, sizes in enumerate(convs, 1):
                shapes.update(conv(f'layer{stage}.{i}.conv{j}', *sizes))
                shapes.update(bn(f'layer{stage}.{i}.bn{j}', sizes[0]))
        before = width
    shapes.update(conv('conv2', widths[3], before, 1))
    shapes.update(bn('bn2', widths[3]))
    return {**shapes, **linear('linear', num_classes, widths[3])}


WIDE = dict(stem=32, stages=(64, 128, 256))
BOTTLENECK = dict(kernels=(1, 3, 1), expansion=4)
BASIC = dict(kernels=(3, 3), expansion=1)
# The field's name, our name, parameters for 100 classes, names and shapes.
NETWORKS = [
    ('resnet8', 'resnet8', 83892, lambda k: thin_resnet(k, 1)),
    ('resnet14', 'resnet14', 181108, lambda k: thin_resnet(k, 2)),
    ('resnet20', 'resnet20', 278324, lambda k: thin_resnet(k, 3)),
    ('resnet32', 'resnet32', 472756, lambda k: thin_resnet(k, 5)),
    ('resnet44', 'resnet44', 667188, lambda k: thin_resnet(k, 7)),
    ('resnet56', 'resnet56', 861620, lambda k: thin_resnet(k, 9)),
    ('resnet110', 'resnet110', 1736564, lambda k: thin_resnet(k, 18)),
    ('resnet8x4', 'resnet8x4', 1233540, lambda k: thin_resnet(k, 1, **WIDE)),
    ('resnet32x4', 'resnet32x4', 7433860, lambda k: thin_resnet(k, 5, **WIDE)),
    (
        'resnet38x2',
        'resnet38x2',
        None,
        lambda k: thin_resnet(k, 6, 16, (32, 64, 128)),
    ),
    (
        'resnet8x4_double',
        'resnet8x4-double',
        None,
        lambda k: thin_resnet(k, 1, 64, (128, 256, 512)),
    ),
    # Thin, and not the network that everybody calls resnet50.
    ('resnet50x1', 'resnet50x1', None, lambda k: thin_resnet(k, 8)),
    (
        'ResNet18',
        'resnet18',
        11220132,
        lambda k: large_resnet(k, (2, 2, 2, 2), **BASIC),
    ),
    (
        'ResNet34',
        'resnet34',
        None,
        lambda k: large_resnet(k, (3, 4, 6, 3), **BASIC),
    ),
    (
        'ResNet50',
        'resnet50',
        23705252,
        lambda k: large_resnet(k, (3, 4, 6, 3), **BOTTLENECK),
    ),
    ('wrn_16_1', 'wrn16-1', 180916, lambda k: wide_resnet(k, 2, 1)),
    ('wrn_16_2', 'wrn16-2', 703284, lambda k: wide_resnet(k, 2, 2)),
    ('wrn_40_1', 'wrn40-1', 569780, lambda k: wide_resnet(k, 6, 1)),
    ('wrn_40_2', 'wrn40-2', 2255156, lambda k: wide_resnet(k, 6, 2)),
    ('wrn_28_4', 'wrn28-4', None, lambda k: wide_resnet(k, 4, 4)),
    ('vgg8', 'vgg8', 3965028, lambda k: vgg(k, (1, 1, 1, 1, 1))),
    ('vgg11', 'vgg11', 9277284, lambda k: vgg(k, (1, 1, 2, 2, 2))),
    ('vgg13', 'vgg13', 9462180, lambda k: vgg(k, (2, 2, 2, 2, 2))),
    ('vgg16', 'vgg16', 14774436, lambda k: vgg(k, (2, 2, 3, 3, 3))),
    ('vgg19', 'vgg19', 20086692, lambda k: vgg(k, (2, 2, 4, 4, 4))),
    ('MobileNetV2', 'mobilenetv2', 812836, lambda k: mobilenet_v2(k, 0.5)),
    ('MobileNetV2_1_0', 'mobilenetv2-1-0', None, lambda k: mobilenet_v2(k, 1)),
    ('ShuffleV1', 'shufflenetv1', 949258, shufflenet_v1),
    (
        'ShuffleV2',
        'shufflenetv2',
        1355528,
        lambda k: shufflenet_v2(k, (116, 232, 464, 1024)),
    ),
    (
        'ShuffleV2_0_5',
        'shufflenetv2-0-5',
        None,
        lambda k: shufflenet_v2(k, (48, 96, 192, 1024)),
    ),
    (
        'ShuffleV2_1_5',
        'shufflenetv2-1-5',
        None,
        lambda k: shufflenet_v2(k, (176, 352, 704, 1024)),
    ),
    (
        'ShuffleV2_2_0',
        'shufflenetv2-2-0',
        None,
        lambda k: shufflenet_v2(k, (224, 488, 976, 2048)),
    ),
]
BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')


def field_shapes(name, num_classes=5):
    return next(row[3] for row in NETWORKS if row[0] == name)(num_classes)


def empty(shapes):
    """Tensors that take no space in a file."""
    return {
        key: torch.zeros(()).expand(shape) for key, shape in shapes.items()
    }


def uniform(name, shape):
    """Numbers from -1 to 1, float64, that no version of numpy changes."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    return 2 * random.rand(*shape) - 1


def fill(shapes):
    """Weights from which activations neither vanish nor explode."""
    state_dict = {}
    for key, shape in shapes.items():
        if key.endswith('num_batches_tracked'):
            state_dict[key] = torch.tensor(7)
            continue
        value = uniform(key, shape)
        if len(shape) > 1:
            value = value * (6 / np.prod(shape[1:])) ** 0.5
        elif key.endswith('running_var'):
            value = 1 + 0.5 * value
        elif key.endswith('weight'):  # Of a BN.
            value = 0.9 + 0.5 * value
        else:
            value = 0.3 * value
        state_dict[key] = torch.from_numpy(value).float()
    return state_dict


def images():
    """Two images of different brightness and contrast.

    Returns:
        Tensor: (2, 3, 32, 32), float64.
    """
    first, second = torch.from_numpy(uniform('images', (2, 3, 32, 32)))
    return torch.stack([first - 0.5, 2 * second + 0.5])


def save(tmp_path, state_dict, **others):
    path = tmp_path / 'field.pth'
    torch.save(dict(model=state_dict, **others), str(path))
    return str(path)


@pytest.mark.parametrize('field_name, name, num_params, shapes', NETWORKS)
def test_finds_and_names_every_network(
    tmp_path, field_name, name, num_params, shapes
):
    shapes = shapes(100)
    network, checkpoint, left_behind = convert_kd_zoo_checkpoint(
        save(tmp_path, empty(shapes))
    )
    assert network.name == name and network.num_classes == 100
    assert network.num_params == sum(
        np.prod(shape, dtype=int)
        for key, shape in shapes.items()
        if not key.endswith(BUFFERS)
    )
    assert num_params in (None, network.num_params)
    assert left_behind == {}
    assert checkpoint['meta']['converted_from'] == dict(
        file='field.pth', arch=name
    )
    # One to one, and nothing of another shape.
    assert sorted(network.field_names.values()) == sorted(shapes)
    assert {
        network.field_names[key]: tuple(value.shape)
        for key, value in checkpoint['state_dict'].items()
    } == shapes
    # By its name it is the same.
    assert get_network(field_name, 100) == network


# The first 3 of 5 logits for each of the images(), which RepDistiller's
# networks gave for fill() in float64.
LOGITS = {
    'resnet20': [
        [3.57979547, -13.1702616, -23.2849852],
        [8.38863082, -28.5567687, -56.1849711],
    ],
    'resnet8x4': [
        [-3.31121489, 2.0403923, -1.16950731],
        [-7.36036747, 2.5011581, -2.99033639],
    ],
    'ResNet50': [
        [152.045504, -199.706605, 18.3637747],
        [272.020083, -338.449349, 28.7088254],
    ],
    'wrn_16_1': [
        [-5.80004072, -1.65428957, -1.27254808],
        [-6.26116843, -1.81024298, -1.59536935],
    ],
    'wrn_16_2': [
        [-11.9363082, -2.38937308, -1.11555497],
        [-12.8358809, -1.49567714, -0.984017019],
    ],
    'vgg8': [
        [0.84093098, 0.860720551, -1.66653387],
        [2.46272702, 0.457610069, -1.94112436],
    ],
    'vgg13': [
        [0.53077912, -1.43417725, 0.506477423],
        [0.701111015, -1.89164234, 0.638038095],
    ],
    'MobileNetV2': [
        [-61.351261, -220.840249, -239.10932],
        [-35.7658171, -173.439068, -198.783216],
    ],
    'ShuffleV1': [
        [69.1921309, 15.9426794, -119.09563],
        [121.005066, 15.3286499, -207.740008],
    ],
    'ShuffleV2': [
        [8.36625898, -0.0816458377, 1.26059721],
        [14.0082246, -1.01295763, 4.04452298],
    ],
}


@pytest.mark.parametrize('field_name', LOGITS)
def test_logits_are_those_of_the_field(tmp_path, field_name):
    path = save(tmp_path, fill(field_shapes(field_name)))
    network, checkpoint, _ = convert_kd_zoo_checkpoint(path)
    assert network.num_classes == 5
    converted = str(tmp_path / 'converted.pth')
    torch.save(checkpoint, converted)
    classifier = MODELS.build(network.model)
    load_checkpoint(classifier, converted, strict=True)
    classifier.eval().double()
    with torch.no_grad():
        logits = classifier.head(classifier.extract_feat(images()))[:, :3]
    expected = torch.tensor(LOGITS[field_name], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    'prefix',
    [
        '',
        'module.',
        'student.',
        'module.student.',
        'module.module.',
        'student.module.',
    ],
)
def test_takes_prefixes_off(tmp_path, prefix):
    weights = fill(field_shapes('wrn_16_1'))
    path = save(tmp_path, {prefix + key: v for key, v in weights.items()})
    network, checkpoint, left_behind = convert_kd_zoo_checkpoint(path)
    assert network.name == 'wrn16-1' and left_behind == {}
    for key, value in checkpoint['state_dict'].items():
        assert torch.equal(value, weights[network.field_names[key]])


def test_takes_the_student_out_of_a_distiller(tmp_path):
    student = fill(field_shapes('resnet8'))
    teacher = empty(field_shapes('resnet14'))
    parts = {f'module.teacher.{key}': v for key, v in teacher.items()}
    parts['module.conv_reg.conv.weight'] = torch.ones(1)
    parts.update({f'module.student.{key}': v for key, v in student.items()})
    network, checkpoint, left_behind = convert_kd_zoo_checkpoint(
        save(tmp_path, parts)
    )
    assert network.name == 'resnet8'
    assert left_behind == dict(teacher=len(teacher), conv_reg=1)
    assert torch.equal(
        checkpoint['state_dict']['head.fc.bias'], student['fc.bias']
    )


@pytest.mark.parametrize('key', ['model', 'state_dict', None])
def test_finds_the_weights(tmp_path, key):
    weights = fill(field_shapes('resnet8'))
    path = str(tmp_path / 'field.pth')
    torch.save({key: weights} if key else weights, path)
    network, checkpoint, _ = convert_kd_zoo_checkpoint(path)
    assert network.name == 'resnet8'
    assert torch.equal(
        checkpoint['state_dict']['backbone.conv1.weight'],
        weights['conv1.weight'],
    )


def test_counters_of_batches_may_be_missing(tmp_path):
    weights = fill(field_shapes('vgg8'))
    del weights['block0.1.num_batches_tracked']
    network, checkpoint, _ = convert_kd_zoo_checkpoint(save(tmp_path, weights))
    counters = {
        network.field_names[key]: value
        for key, value in checkpoint['state_dict'].items()
        if key.endswith('num_batches_tracked')
    }
    assert counters.pop('block0.1.num_batches_tracked') == 0
    assert set(map(int, counters.values())) == {7}
    MODELS.build(network.model).load_state_dict(checkpoint['state_dict'])


def test_keeps_facts_as_text_that_is_safe_to_read(tmp_path):
    for best_acc in (
        71.5,
        np.float64(71.5),
        np.float32(71.5),
        torch.tensor([71.5]),
    ):
        path = save(
            tmp_path,
            fill(field_shapes('resnet8')),
            epoch=240,
            best_acc=best_acc,
            accuracy=torch.ones(2),
            optimizer=dict(lr=0.1),
        )
        checkpoint = convert_kd_zoo_checkpoint(path).checkpoint
        assert checkpoint['meta']['converted_from'] == dict(
            file='field.pth', arch='resnet8', epoch='240', best_acc='71.5'
        )
    # Without the file's other numbers, which numpy 1 and torch 1.13 need.
    torch.save(checkpoint, path)
    assert torch.load(path, weights_only=True)['meta'] == checkpoint['meta']


@pytest.mark.parametrize('arch', ['wrn_16_2', 'WRN_16_2', 'wrn16-2'])
def test_arch_that_fits(tmp_path, arch):
    path = save(tmp_path, empty(field_shapes('wrn_16_2')))
    assert convert_kd_zoo_checkpoint(path, arch).network.name == 'wrn16-2'


@pytest.mark.parametrize(
    'field_name, arch, error',
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
            r'1 unexpected \(block1.layer.0.convShortcut.weight\), \d+ of another '
            r'shape \(block1.layer.0.conv1.weight is \(32, 16, 3, 3\) and not '
            r'\(16, 16, 3, 3\), .*wrn16-2 with 5 classes fits',
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
def test_arch_that_does_not_fit(tmp_path, field_name, arch, error):
    path = save(tmp_path, empty(field_shapes(field_name)))
    with pytest.raises(ValueError, match=error):
        convert_kd_zoo_checkpoint(path, arch)


def test_tells_the_nearest_network(tmp_path):
    shapes = field_shapes('resnet20')
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
        match=r'should be a network of the field \(resnet18.*, but it has '
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
            'torchvision ResNet with a 7x7 stem, such as the ResNet50 of SemCKD',
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
def test_refuses_other_networks_of_the_field(
    tmp_path, key, shape, error, arch
):
    # SemCKD's ResNet50 has the names of a thin ResNet.
    shapes = {**field_shapes('resnet8'), key: shape}
    with pytest.raises(ValueError, match=error):
        convert_kd_zoo_checkpoint(save(tmp_path, empty(shapes)), arch)


@pytest.mark.parametrize(
    'checkpoint, error',
    [
        (dict(epoch=1), r'under "model".*, but holds \'epoch\' \(int\)'),
        (dict(model={}), 'but holds none'),
        (dict(model={'fc.weight': 1}), r'but holds \'fc.weight\' \(int\)'),
        (
            dict(model={'backbone.conv1.weight': torch.ones(1)}),
            'needs no conversion',
        ),
        (
            dict(model=empty(field_shapes('resnet8')), proj={}),
            'student of SimKD, which predicts by a projector',
        ),
        ([torch.ones(1)], 'should hold a dict, but got list'),
    ],
)
def test_holds_no_network(tmp_path, checkpoint, error):
    path = str(tmp_path / 'field.pth')
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=error):
        convert_kd_zoo_checkpoint(path)


class Attack:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_runs_no_code(tmp_path):
    path = save(
        tmp_path, empty(field_shapes('resnet8')), opt=Attack(tmp_path / 'run')
    )
    with pytest.raises(CheckpointError, match=r'mkdir.*torch.save\('):
        convert_kd_zoo_checkpoint(path)
    assert os.listdir(tmp_path) == ['field.pth']


def test_tells_how_to_save_the_weights_alone(tmp_path):
    path = save(
        tmp_path, empty(field_shapes('resnet8')), opt=argparse.Namespace(a=1)
    )
    with pytest.raises(
        CheckpointError,
        match=r'"argparse.Namespace".*torch.save\(\{\'model\''
        r'.*_best.pth',
    ):
        convert_kd_zoo_checkpoint(path)


def test_damaged_or_missing(tmp_path):
    path = save(tmp_path, fill(field_shapes('resnet8')))
    with open(path, 'rb+') as file:
        file.truncate(os.path.getsize(path) // 2)
    with pytest.raises(CheckpointError, match='truncated') as error:
        convert_kd_zoo_checkpoint(path)
    assert 'torch.save(' not in str(error.value)
    with pytest.raises(FileNotFoundError, match='no.pth" does not exist'):
        convert_kd_zoo_checkpoint(str(tmp_path / 'no.pth'))
