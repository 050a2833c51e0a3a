"""MobileNetV2 for small images."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmcv.cnn import ConvModule
from mmpretrain.models.utils import InvertedResidual
from torch import nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import ListOf, Number

from .base_cifar_backbone import BaseCIFARBackbone


@MODELS.register_module()
class CIFARMobileNetV2(BaseCIFARBackbone):
    """The MobileNetV2 for small images on which the KD field compares.

    Inverted residuals after `MobileNetV2: Inverted Residuals and Linear
    Bottlenecks <https://arxiv.org/abs/1801.04381>`_, on MMPretrain's blocks.
    Unlike MMPretrain's network, and as the KD codebases have it: ReLU in
    place of ReLU6, widths that are cut to whole numbers, not rounded to
    multiples of 8, no stride in the second group, and a 1x1 convolution
    before the first depthwise one. With a linear head the parameters at
    width 0.5 are those of the KD codebases' network.

    The seven groups of the paper make four stages, parted where the size is
    halved:

    ======== ========== ====== ====================== ====================
    stage    groups     blocks channels at width 0.5  size, 32 px image
    ======== ========== ====== ====================== ====================
    stem                       16                     16 x 16
    layer1   1, 2       1 + 2  12                     16 x 16
    layer2   3          3      16                     8 x 8
    layer3   4, 5       4 + 3  48                     4 x 4
    layer4   6, 7       3 + 1  160                    2 x 2
    tail                       1280                   2 x 2
    ======== ========== ====== ====================== ====================

    The stem is ``conv1``, ``bn1``, ``relu``, the tail ``conv2``, ``bn2``,
    ``relu2``: with the layers, these are public names. A stage ends in a
    linear convolution; the last output is that of ``relu2``, which the
    classifier pools.

    Args:
        widen_factor (float): Factor of the width, >= 1/16. Defaults to 0.5,
            that of the field.
        expand_ratio (int): Expansion of the inverted residuals, >= 2.
            Defaults to 6.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (Sequence[int]): Stages to return, of 0 to 3, in
            increasing order. Defaults to (3, ).
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
            which means ``dict(type='ReLU')``.
        init_cfg (dict or list[dict], optional): Initialisation. Defaults to
            None, which means Kaiming-normal convolutions (fan out) and BN
            of weight 1.

    Raises:
        ValueError: If ``widen_factor``, ``expand_ratio``, ``out_indices`` or
            ``frozen_stages`` is not as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARMobileNetV2
        >>> mobilenetv2 = CIFARMobileNetV2(out_indices=(0, 1, 2, 3))
        >>> for feat in mobilenetv2(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 12, 16, 16)
        (1, 16, 8, 8)
        (1, 48, 4, 4)
        (1, 1280, 2, 2)
    """

    STAGES = ('layer1', 'layer2', 'layer3', 'layer4')
    TAIL = ('conv2', 'bn2', 'relu2')
    STEM_CHANNELS = 32
    LAST_CHANNELS = 1280
    FIRST_CHANNELS = 16
    # The other groups of each stage: channels, number of blocks, stride.
    ARCH = (
        ((24, 2, 1),),
        ((32, 3, 2),),
        ((64, 4, 2), (96, 3, 1)),
        ((160, 3, 2), (320, 1, 1)),
    )

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        widen_factor=Number(least=1 / 16),
        expand_ratio=Number(least=2, whole=True),
        out_indices=ListOf(Number(least=0, most=3, whole=True)),
        frozen_stages=Number(least=-1, most=4, whole=True),
    )

    def __init__(
        self,
        widen_factor: float = 0.5,
        expand_ratio: int = 6,
        in_channels: int = 3,
        out_indices: Sequence[int] = (3,),
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
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.check_values(widen_factor=widen_factor)
        if type(expand_ratio) is not int or expand_ratio < 2:
            raise ValueError(
                'expand_ratio should be a whole number >= 2, but '
                f'got {expand_ratio!r}.'
            )
        layer_cfg: dict[str, Any] = dict(
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )
        channels = int(self.STEM_CHANNELS * widen_factor)
        self._add_conv_layer(
            self.STEM, in_channels, channels, 3, 2, **layer_cfg
        )
        width = int(self.FIRST_CHANNELS * widen_factor)
        # The first block does not expand: there MMPretrain's block has no 1x1
        # convolution, but the KD codebases' has.
        layers = [
            ConvModule(channels, channels, 1, **layer_cfg),
            InvertedResidual(channels, width, channels, **layer_cfg),
        ]
        channels = width
        for name, groups in zip(self.STAGES, self.ARCH):
            for width, num_blocks, stride in groups:
                width = int(width * widen_factor)
                for i in range(num_blocks):
                    layers.append(
                        InvertedResidual(
                            channels,
                            width,
                            mid_channels=expand_ratio * channels,
                            stride=stride if i == 0 else 1,
                            **layer_cfg,
                        )
                    )
                    channels = width
            self.add_module(name, nn.Sequential(*layers))
            layers = []
        last_channels = int(self.LAST_CHANNELS * max(1.0, widen_factor))
        self._add_conv_layer(
            self.TAIL, channels, last_channels, 1, 1, **layer_cfg
        )
        self._freeze_stages()
