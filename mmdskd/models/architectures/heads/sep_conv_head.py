from torch import nn

from mmdskd.registry import MODELS

from .base_branch_head import BaseBranchHead


@MODELS.register_module()
class SepConvHead(BaseBranchHead):
    """Auxiliary head with a bottleneck of separable convolutions.

    A 1x1 convolution to the width of the bottleneck, one depthwise separable
    3x3 convolution per halving of the size (one without stride if the size
    stays), and a 1x1 convolution to the teacher's channels. Each is followed
    by BN and ReLU, the depthwise ones by BN alone. It is of the family of the
    bottlenecks of `Be Your Own Teacher <https://arxiv.org/abs/1905.08094>`_;
    the DSKD paper's abstract does not fix a design.

    Args:
        *args: See :class:`BaseBranchHead`.
        bottleneck_ratio (float): Width of the bottleneck as a share of
            ``out_channels``, > 0. Defaults to 0.5.
        **kwargs: See :class:`BaseBranchHead`.

    Raises:
        ValueError: If ``bottleneck_ratio`` is not positive.
    """

    def __init__(self, *args, bottleneck_ratio: float = 0.5, **kwargs) -> None:
        if bottleneck_ratio <= 0:
            raise ValueError('bottleneck_ratio should be > 0, but got '
                             f'{bottleneck_ratio}')
        self.bottleneck_ratio = bottleneck_ratio
        super().__init__(*args, **kwargs)

    def build_projector(self, stride: int) -> nn.Sequential:
        """Build 1x1 reduction, separable convolutions and 1x1 expansion."""
        width = max(1, round(self.bottleneck_ratio * self.out_channels))
        # One layer per halving: stride is a power of two.
        strides = [2] * (stride.bit_length() - 1) or [1]
        layers = _conv_bn_relu(self.in_channels, width)
        for layer_stride in strides:
            layers += [
                nn.Conv2d(
                    width,
                    width,
                    3,
                    stride=layer_stride,
                    padding=1,
                    groups=width,
                    bias=False),
                nn.BatchNorm2d(width), *_conv_bn_relu(width, width)
            ]
        return nn.Sequential(*layers, *_conv_bn_relu(width, self.out_channels))


def _conv_bn_relu(in_channels: int, out_channels: int) -> list:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU()
    ]
