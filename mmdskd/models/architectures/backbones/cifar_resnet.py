"""ResNet for small images."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmpretrain.models.backbones.resnet import BasicBlock, ResLayer

from mmdskd.registry import MODELS
from mmdskd.utils.rules import COUNT, ListOf, Number

from .base_cifar_backbone import BaseCIFARBackbone, DepthRule, check_positive


@MODELS.register_module()
class CIFARResNet(BaseCIFARBackbone):
    """The thin ResNet for small images on which the KD field compares.

    A 3x3 stem without pooling and three stages of ``(depth - 2) / 6`` basic
    blocks each, as in section 4.2 of `Deep Residual Learning for Image
    Recognition <https://arxiv.org/abs/1512.03385>`_. Unlike it, and as the
    KD codebases do (RepDistiller, SemCKD, SimKD, mdistiller), the shortcut is
    a 1x1 convolution with BN wherever the shape changes. With a linear head
    the parameters are those of their networks of the same name:

    ============ ======= =============== =================
    name         depth   stem_channels   stage_channels
    ============ ======= =============== =================
    resnet{N}    N       16              (16, 32, 64)
    resnet{N}x4  N       32              (64, 128, 256)
    ============ ======= =============== =================

    The modules ``conv1``, ``bn1``, ``layer1``, ``layer2`` and ``layer3`` are
    public names: recorders attach to them, and they hold whatever ``norm_cfg``
    says. A stage ends in its activation.

    Args:
        depth (int): Number of weighted layers, 6n + 2 with n >= 1.
        in_channels (int): Channels of the input image. Defaults to 3.
        stem_channels (int): Output channels of the stem. Defaults to 16.
        stage_channels (Sequence[int]): Output channels of the three stages.
            Defaults to (16, 32, 64).
        strides (Sequence[int]): Strides of the three stages.
            Defaults to (1, 2, 2).
        out_indices (Sequence[int]): Stages to return, of 0, 1 and 2, in
            increasing order. Defaults to (2, ).
        frozen_stages (int): 0 freezes the stem, k the stem and the first k
            stages: no gradients, and BN in eval mode. -1 freezes nothing.
            Defaults to -1.
        norm_eval (bool): Whether all BN layers keep their running statistics
            in training. Defaults to False.
        conv_cfg (dict, optional): Config of the convolutions. Defaults to
            None, which means ``dict(type='Conv2d')``.
        norm_cfg (dict, optional): Config of the normalisation. Defaults to
            None, which means ``dict(type='BN')``.
        act_cfg (dict, optional): Config of the activation. Defaults to None,
            which means ``dict(type='ReLU', inplace=True)``.
        init_cfg (dict or list[dict], optional): Initialisation. Defaults to
            None, which means Kaiming-normal convolutions (fan out) and BN
            of weight 1.

    Raises:
        ValueError: If ``depth``, ``stage_channels``, ``strides``,
            ``out_indices`` or ``frozen_stages`` is not as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARResNet
        >>> resnet8x4 = CIFARResNet(
        ...     8, stem_channels=32, stage_channels=(64, 128, 256),
        ...     out_indices=(0, 1, 2))
        >>> for feat in resnet8x4(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 64, 32, 32)
        (1, 128, 16, 16)
        (1, 256, 8, 8)
    """

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        depth=DepthRule(2),
        stage_channels=ListOf(COUNT, length=3),
        strides=ListOf(COUNT, length=3),
        out_indices=ListOf(Number(least=0, most=2, whole=True)),
        frozen_stages=Number(least=-1, most=3, whole=True),
    )

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        stem_channels: int = 16,
        stage_channels: Sequence[int] = (16, 32, 64),
        strides: Sequence[int] = (1, 2, 2),
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = None,
        act_cfg: Optional[dict] = None,
        init_cfg: Union[dict, Sequence[dict], None] = None,
    ) -> None:
        super().__init__(out_indices, frozen_stages, norm_eval, init_cfg)
        self.check_values(
            in_channels=in_channels,
            stem_channels=stem_channels,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        if type(depth) is not int or depth < 8 or depth % 6 != 2:
            raise ValueError(
                'depth should be 6n + 2 with n >= 1 (8, 14, 20, '
                f'26, 32, ...), but got {depth!r}.'
            )
        check_positive('stage_channels', stage_channels, len(self.STAGES))
        check_positive('strides', strides, len(self.STAGES))
        norm_cfg = norm_cfg or dict(type='BN')
        act_cfg = act_cfg or dict(type='ReLU', inplace=True)

        self._add_conv_layer(
            self.STEM,
            in_channels,
            stem_channels,
            3,
            1,
            conv_cfg,
            norm_cfg,
            act_cfg,
        )
        channels = (stem_channels, *stage_channels)
        for i, name in enumerate(self.STAGES):
            layer = ResLayer(
                BasicBlock,
                num_blocks=(depth - 2) // 6,
                in_channels=channels[i],
                out_channels=channels[i + 1],
                stride=strides[i],
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
            )
            self.add_module(name, layer)
        self._freeze_stages()
