"""Names and shapes of the KD zoo, written out by hand."""


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
# The zoo's name, our name, parameters for 100 classes, names and shapes.
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


def zoo_shapes(name, num_classes=5):
    return next(row[3] for row in NETWORKS if row[0] == name)(num_classes)
