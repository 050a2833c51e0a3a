"""Configs of plain trainings, as those of which pairs are made."""

from mmengine.config import Config

RESNET = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=64),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
# The same with an eighth of the channels.
SMALL_RESNET = dict(
    RESNET,
    backbone=dict(RESNET['backbone'], base_channels=8, stem_channels=8),
    head=dict(RESNET['head'], in_channels=64),
)
VIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=8
        ),
        img_size=32,
        patch_size=4,
    ),
    neck=None,
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=8,
        loss=dict(type='CrossEntropyLoss'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]),
)
RUN = dict(
    default_scope='mmpretrain',
    data_preprocessor=dict(num_classes=10, mean=[1.0] * 3, std=[2.0] * 3),
    train_dataloader=dict(
        batch_size=4,
        dataset=dict(
            type='CIFAR10',
            data_root='data',
            pipeline=[dict(type='RandomCrop', crop_size=32)],
        ),
    ),
    train_cfg=dict(by_epoch=True, max_epochs=7),
    optim_wrapper=dict(
        type='AmpOptimWrapper',
        loss_scale='dynamic',
        optimizer=dict(type='SGD', lr=0.01),
    ),
    custom_hooks=[dict(type='EMAHook', momentum=1e-4)],
)


def write(name, model, **kwargs):
    """Write a config in the current folder, and return its path."""
    Config(dict(RUN, model=model, **kwargs)).dump(f'{name}.py')
    return f'{name}.py'
