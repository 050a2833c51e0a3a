"""Networks with exits, for tests."""

import copy

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

POOL = dict(type='GlobalAveragePooling')


def connector(*in_channels, **kwargs):
    return dict(
        type='mmdskd.DSKDConnector',
        in_channels=list(in_channels),
        out_channels=16,
        out_size=1,
        num_classes=10,
        **kwargs,
    )


def linear(in_channels):
    return dict(type='LinearClsHead', num_classes=10, in_channels=in_channels)


# Name: model, shape of an image, sources, connector, a module after an exit
NETWORKS = dict(
    CIFARResNet=(
        dict(
            backbone=dict(
                type='mmdskd.CIFARResNet',
                depth=8,
                stem_channels=4,
                stage_channels=(4, 8, 16),
            ),
            neck=POOL,
            head=linear(16),
        ),
        (3, 16, 16),
        ['backbone.layer1', 'backbone.layer2'],
        connector(4, 8),
        'backbone.layer3',
    ),
    ResNet=(
        dict(
            backbone=dict(
                type='ResNet',
                depth=18,
                out_indices=(0, 1, 2, 3),
                stem_channels=8,
                base_channels=8,
            ),
            neck=POOL,
            head=linear(64),
        ),
        (3, 32, 32),
        ['backbone.layer1', 'backbone.layer3'],
        connector(8, 32),
        'backbone.layer4',
    ),
    MobileNetV2=(
        dict(
            backbone=dict(type='MobileNetV2', widen_factor=0.25),
            neck=POOL,
            head=linear(1280),
        ),
        (3, 32, 32),
        ['backbone.layer2', 'backbone.layer4.0'],
        connector(8, 16),
        'backbone.layer5',
    ),
    # It returns tokens beside their grid, (tokens, (H, W)).
    SwinTransformer=(
        dict(
            backbone=dict(
                type='SwinTransformer',
                arch=dict(
                    embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2]
                ),
                img_size=64,
                window_size=2,
            ),
            neck=POOL,
            head=linear(64),
        ),
        (3, 64, 64),
        ['backbone.stages.0', 'backbone.stages.2.blocks.0'],
        connector(8, 32, layouts='NLC'),
        'backbone.stages.3',
    ),
    VisionTransformer=(
        dict(
            backbone=dict(
                type='VisionTransformer',
                arch=dict(
                    embed_dims=16,
                    num_layers=3,
                    num_heads=2,
                    feedforward_channels=32,
                ),
                img_size=32,
                patch_size=8,
            ),
            head=dict(
                type='VisionTransformerClsHead', num_classes=10, in_channels=16
            ),
        ),
        (3, 32, 32),
        ['backbone.layers.0', 'backbone.layers.1'],
        connector(16, 16, layouts=dict(order='NLC', num_extra_tokens=1)),
        'backbone.layers.2',
    ),
)


def build(name, **kwargs):
    """Build a classifier whose exits are sure of something."""
    network, shape, sources, heads, after = copy.deepcopy(NETWORKS[name])
    cfg = dict(
        network,
        type='mmdskd.MultiExitClassifier',
        exits=dict(sources=sources, connector=heads),
    )
    cfg.update(kwargs)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg).eval()
    for head in model.exits.heads:
        nn.init.normal_(head.classifier.weight, std=3)
    return model, torch.randn(9, *shape), after


def scores(model, images):
    return torch.stack(
        [logits.softmax(dim=1) for logits in model.exit_logits(images)]
    )
