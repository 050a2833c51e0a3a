"""Small networks of many kinds."""

from mmengine.registry import MODELS
from torch import nn


def classifier(backbone, head=None, neck='GlobalAveragePooling', channels=0):
    head = head or dict(
        type='LinearClsHead', num_classes=7, in_channels=channels
    )
    return MODELS.build(
        dict(
            type='ImageClassifier',
            _scope_='mmpretrain',
            backbone=backbone,
            neck=dict(type=neck) if isinstance(neck, str) else neck,
            head=head,
        )
    )


def vit(kind='VisionTransformer', head='VisionTransformerClsHead'):
    return classifier(
        dict(
            type=kind,
            arch=dict(
                embed_dims=8, num_layers=8, num_heads=2, feedforward_channels=8
            ),
            img_size=32,
            patch_size=8,
        ),
        dict(type=head, num_classes=7, in_channels=8),
        neck=None,
    )


def swin():
    return classifier(
        dict(
            type='SwinTransformer',
            arch=dict(
                embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 1, 1]
            ),
            img_size=64,
            patch_size=2,
            window_size=4,
        ),
        channels=64,
    )


def hrnet():
    return classifier(
        dict(type='HRNet', arch='w18'),
        channels=2048,
        neck=[
            dict(type='HRFuseScales', in_channels=(18, 36, 72, 144)),
            dict(type='GlobalAveragePooling'),
        ],
    )


class ChannelsLast(nn.Module):
    """A network of maps (N, H, W, C), where no container helps."""

    def __init__(self, channels=(4, 6, 8)):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Linear(i, o), nn.ReLU(inplace=True), nn.Linear(o, o)
            )
            for i, o in zip((3, *channels), channels)
        )
        self.norm = nn.BatchNorm1d(channels[-1])
        self.drop = nn.Dropout()
        self.fc = nn.Linear(channels[-1], 5)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x[:, ::2, ::2])
        return self.fc(self.drop(self.norm(x.mean((1, 2)))))


class Parallel(ChannelsLast):
    """Ends in several features, as the backbone of HRNet does."""

    def __init__(self):
        super().__init__()
        self.split = Split()

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x[:, ::2, ::2])
        return self.fc(sum(self.split(x)).mean((1, 2)))


class Split(nn.Module):
    def forward(self, x):
        return x, x * 2
