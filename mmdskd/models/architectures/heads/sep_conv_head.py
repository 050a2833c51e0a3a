"""A head of separable convolutions."""

from typing import Any, ClassVar, Optional, Union

from torch import nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import POSITIVE
from mmdskd.utils.values import check_values

from .base_branch_head import BaseBranchHead


@MODELS.register_module()
class SepConvHead(BaseBranchHead):
    """Auxiliary head with a bottleneck of separable convolutions.

    One depthwise separable 3x3 convolution per halving of the size, the first
    of which also changes the channels to the width of the bottleneck, and a
    1x1 convolution to the teacher's channels. Each is followed by BN and
    ReLU, the depthwise ones by BN alone. The halving comes first: a 1x1
    convolution at the size of the shallow feature would take most of the time
    and memory of a head. If the size stays, the one separable convolution is
    turned round, its 1x1 convolution before the depthwise one, which then has
    the width of the bottleneck, not that of a possibly wide feature.

    It is of the family of the bottlenecks of `Be Your Own Teacher
    <https://arxiv.org/abs/1905.08094>`_; the DSKD paper's abstract does not
    fix a design.

    Args:
        in_channels (int): See :class:`BaseBranchHead`, as for the next four.
        out_channels (int): Channels of the teacher's last feature.
        num_classes (int, optional): Number of classes. Defaults to None.
        stride (int or float): Size of the feature over that of the teacher's.
            Defaults to 1.
        out_size (int or tuple[int, int], optional): Size of the teacher's
            feature, in place of ``stride``. Defaults to None.
        bottleneck_ratio (float): Width of the bottleneck as a share of
            ``out_channels``, > 0. Defaults to 0.5.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``bottleneck_ratio`` is not positive.
    """

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseBranchHead.VALUES, bottleneck_ratio=POSITIVE
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: Optional[int] = None,
        stride: Union[int, float] = 1,
        out_size: Union[int, tuple[int, int], None] = None,
        bottleneck_ratio: float = 0.5,
    ) -> None:
        check_values(
            'SepConvHead', self.VALUES, dict(bottleneck_ratio=bottleneck_ratio)
        )
        self.bottleneck_ratio = bottleneck_ratio
        super().__init__(
            in_channels, out_channels, num_classes, stride, out_size
        )

    def build_projector(self, stride: int) -> nn.Sequential:
        """Build separable convolutions and 1x1 expansion."""
        width = max(1, round(self.bottleneck_ratio * self.out_channels))
        if stride == 1:
            layers = [
                *_conv_bn_relu(self.in_channels, width),
                *_depthwise_conv_bn(width, stride),
            ]
        else:
            layers = [
                *_depthwise_conv_bn(self.in_channels, 2),
                *_conv_bn_relu(self.in_channels, width),
            ]
        # One per further halving: stride is a power of two.
        for _ in range(stride.bit_length() - 2):
            layers += [
                *_depthwise_conv_bn(width, 2),
                *_conv_bn_relu(width, width),
            ]
        return nn.Sequential(*layers, *_conv_bn_relu(width, self.out_channels))


def _conv_bn_relu(in_channels: int, out_channels: int) -> list:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


def _depthwise_conv_bn(channels: int, stride: int) -> list:
    return [
        nn.Conv2d(
            channels,
            channels,
            3,
            stride=stride,
            padding=1,
            groups=channels,
            bias=False,
        ),
        nn.BatchNorm2d(channels),
    ]
