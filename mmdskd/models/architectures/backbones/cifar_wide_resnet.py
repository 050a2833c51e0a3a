"""Wide ResNet for small images."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmcv.cnn import build_conv_layer
from mmrazor.models.architectures.backbones.wideresnet import (
    BasicBlock,
    ResLayer,
)
from torch import nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import COUNT, ListOf, Number

from .base_cifar_backbone import BaseCIFARBackbone, DepthRule


@MODELS.register_module()
class CIFARWideResNet(BaseCIFARBackbone):
    """The Wide ResNet for small images, of any depth and width.

    A 3x3 stem and three stages of ``(depth - 4) / 6`` pre-activation blocks,
    after `Wide Residual Networks <https://arxiv.org/abs/1605.07146>`_, on
    MMRazor's blocks. MMRazor's own WideResNet is the same network at depths
    10 to 40, but returns its last feature only. With a linear head the
    parameters are those of the KD codebases' ``wrn_{depth}_{widen_factor}``.

    The modules ``conv1``, ``layer1``, ``layer2``, ``layer3``, ``bn1`` and
    ``relu`` are public names. A stage ends *before* its activation; the last
    output is that of ``relu``, which the classifier pools. The normalisation
    is always BN, as MMRazor's block has it.

    Args:
        depth (int): Number of weighted layers, 6n + 4 with n >= 1.
        widen_factor (int): Factor k of the width, >= 1: the stages have 16k,
            32k and 64k channels. Defaults to 1.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (Sequence[int]): Stages to return, of 0, 1 and 2, in
            increasing order. Defaults to (2, ).
        frozen_stages (int): 0 freezes the stem, k the stem and the first k
            stages: no gradients, and BN in eval mode. -1 freezes nothing.
            Defaults to -1.
        norm_eval (bool): Whether all BN layers keep their running statistics
            in training. Defaults to False.
        conv_cfg (dict, optional): Config of the convolutions. Defaults to
            None, which means ``dict(type='Conv2d')``.
        init_cfg (dict or list[dict], optional): Initialisation. Defaults to
            None, which means Kaiming-normal convolutions (fan out) and BN
            of weight 1.

    Raises:
        ValueError: If ``depth``, ``widen_factor``, ``out_indices`` or
            ``frozen_stages`` is not as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARWideResNet
        >>> wrn_16_2 = CIFARWideResNet(16, 2, out_indices=(0, 1, 2))
        >>> for feat in wrn_16_2(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 32, 32, 32)
        (1, 64, 16, 16)
        (1, 128, 8, 8)
    """

    STEM = ('conv1',)
    TAIL = ('bn1', 'relu')

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        depth=DepthRule(4),
        widen_factor=COUNT,
        out_indices=ListOf(Number(least=0, most=2, whole=True)),
        frozen_stages=Number(least=-1, most=3, whole=True),
    )

    def __init__(
        self,
        depth: int,
        widen_factor: int = 1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        conv_cfg: Optional[dict] = None,
        init_cfg: Union[dict, Sequence[dict], None] = None,
    ) -> None:
        super().__init__(out_indices, frozen_stages, norm_eval, init_cfg)
        self.check_values(in_channels=in_channels, conv_cfg=conv_cfg)
        if type(depth) is not int or depth < 10 or depth % 6 != 4:
            raise ValueError(
                'depth should be 6n + 4 with n >= 1 (10, 16, 22, '
                f'28, 34, 40, ...), but got {depth!r}.'
            )
        if type(widen_factor) is not int or widen_factor < 1:
            raise ValueError(
                'widen_factor should be a whole number >= 1, but '
                f'got {widen_factor!r}.'
            )
        channels = [16] + [width * widen_factor for width in (16, 32, 64)]
        self.conv1 = build_conv_layer(
            conv_cfg, in_channels, channels[0], 3, padding=1, bias=False
        )
        for i, name in enumerate(self.STAGES):
            layer = ResLayer(
                BasicBlock,
                num_blocks=(depth - 4) // 6,
                in_channels=channels[i],
                out_channels=channels[i + 1],
                expansion=1,
                stride=1 if i == 0 else 2,
                conv_cfg=conv_cfg,
            )
            self.add_module(name, layer)
        self.bn1 = nn.BatchNorm2d(channels[-1])
        self.relu = nn.ReLU(inplace=True)
        self._freeze_stages()
