"""ShuffleNetV1 for small images."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

import torch
from mmcv.cnn import ConvModule, build_activation_layer
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import COUNT, ListOf, Number

from .base_cifar_backbone import TORCH_INIT, BaseCIFARBackbone, check_positive


class CIFARShuffleUnit(nn.Module):
    """A unit of the KD codebases' ShuffleNetV1.

    MMPretrain's ``ShuffleUnit`` is another: it shuffles after the depthwise
    convolution and not before it, has no activation there, and gives the
    bottleneck of a unit of stride 2 more channels.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): 1 adds the input to the output, 2 joins it, averaged, to
            the channels of the output.
        compress_groups (int): Groups of the first 1x1 convolution, and of the
            shuffle.
        groups (int): Groups of the last 1x1 convolution.
        conv_cfg (dict, optional): Config of the convolutions.
        norm_cfg (dict): Config of the normalisation.
        act_cfg (dict): Config of the activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        compress_groups: int,
        groups: int,
        conv_cfg: Optional[dict],
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        self.compress_groups = compress_groups
        self.downsample = (
            nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        )
        branch_channels = out_channels - (in_channels if stride == 2 else 0)
        mid_channels = branch_channels // 4
        layer_cfg: dict[str, Any] = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg)
        self.conv1 = ConvModule(
            in_channels,
            mid_channels,
            1,
            groups=compress_groups,
            act_cfg=act_cfg,
            **layer_cfg,
        )
        self.conv2 = ConvModule(
            mid_channels,
            mid_channels,
            3,
            stride=stride,
            padding=1,
            groups=mid_channels,
            act_cfg=act_cfg,
            **layer_cfg,
        )
        self.conv3 = ConvModule(
            mid_channels,
            branch_channels,
            1,
            groups=groups,
            act_cfg=None,
            **layer_cfg,
        )
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Run the unit.

        Args:
            x (Tensor): (N, in_channels, H, W).

        Returns:
            Tensor: (N, out_channels, H / stride, W / stride), rounded up.
        """
        out = channel_shuffle(self.conv1(x), self.compress_groups)
        out = self.conv3(self.conv2(out))
        if self.downsample is None:
            return self.act(out + x)
        return self.act(torch.cat([out, self.downsample(x)], dim=1))


@MODELS.register_module()
class CIFARShuffleNetV1(BaseCIFARBackbone):
    """The ShuffleNetV1 for small images on which the KD field compares.

    Grouped 1x1 convolutions with a channel shuffle, after `ShuffleNet: An
    Extremely Efficient Convolutional Neural Network for Mobile Devices
    <https://arxiv.org/abs/1707.01083>`_, with a 1x1 stem without stride.
    Unlike the paper's unit, and as the KD codebases have it, the shuffle
    stands before the depthwise convolution, which has a ReLU. With a linear
    head the parameters are those of the KD codebases' network.

    The modules ``conv1``, ``bn1``, ``relu``, ``layer1``, ``layer2`` and
    ``layer3`` are public names. A stage ends in its activation.

    Args:
        groups (int): Groups of the 1x1 convolutions, a divisor of the
            channels in every unit and of a quarter of them. Defaults to 3.
        stage_channels (Sequence[int]): Channels of the three stages.
            Defaults to (240, 480, 960), those of 3 groups.
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
        norm_cfg (dict, optional): Config of the normalisation. Defaults to
            None, which means ``dict(type='BN')``.
        act_cfg (dict, optional): Config of the activation. Defaults to None,
            which means ``dict(type='ReLU')``.
        init_cfg (dict or list[dict], optional): Initialisation. Defaults to
            None, which means PyTorch's own, as in the field.

    Raises:
        ValueError: If ``groups``, ``stage_channels``, ``out_indices`` or
            ``frozen_stages`` is not as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARShuffleNetV1
        >>> shufflenetv1 = CIFARShuffleNetV1(out_indices=(0, 1, 2))
        >>> for feat in shufflenetv1(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 240, 16, 16)
        (1, 480, 8, 8)
        (1, 960, 4, 4)
    """

    STEM_CHANNELS = 24
    STAGE_BLOCKS = (4, 8, 4)
    INIT_CFG = (TORCH_INIT,)

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        stage_channels=ListOf(COUNT, length=3),
        out_indices=ListOf(Number(least=0, most=2, whole=True)),
        frozen_stages=Number(least=-1, most=3, whole=True),
    )

    def __init__(
        self,
        groups: int = 3,
        stage_channels: Sequence[int] = (240, 480, 960),
        in_channels: int = 3,
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
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        check_positive('stage_channels', stage_channels, len(self.STAGES))
        self._check_groups(groups, stage_channels)
        layer_cfg: dict[str, Any] = dict(
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )
        channels = self.STEM_CHANNELS
        self._add_conv_layer(
            self.STEM, in_channels, channels, 1, 1, **layer_cfg
        )
        for name, out_channels, num_blocks in zip(
            self.STAGES, stage_channels, self.STAGE_BLOCKS
        ):
            layers = []
            for i in range(num_blocks):
                first = name == 'layer1' and i == 0
                layers.append(
                    CIFARShuffleUnit(
                        channels,
                        out_channels,
                        stride=2 if i == 0 else 1,
                        compress_groups=1 if first else groups,
                        groups=groups,
                        **layer_cfg,
                    )
                )
                channels = out_channels
            self.add_module(name, nn.Sequential(*layers))
        self._freeze_stages()

    def _check_groups(
        self, groups: int, stage_channels: Sequence[int]
    ) -> None:
        """Check that the channels of every unit can be grouped."""
        is_count = type(groups) is int and groups >= 1
        channels = self.STEM_CHANNELS
        for out_channels in stage_channels:
            # The unit of stride 2 makes only what its input does not have.
            for branch in (out_channels - channels, out_channels):
                if (
                    not is_count
                    or branch < 4
                    or branch % groups
                    or branch // 4 % groups
                ):
                    raise ValueError(
                        'groups should divide the channels that a unit makes, '
                        'and a quarter of them, but got '
                        f'groups={groups!r} and '
                        f'stage_channels={stage_channels}, of which a unit '
                        f'makes {branch}.'
                    )
            channels = out_channels
