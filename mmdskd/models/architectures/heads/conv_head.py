from torch import nn

from mmdskd.registry import MODELS

from .base_branch_head import BaseBranchHead


@MODELS.register_module()
class ConvHead(BaseBranchHead):
    """The plain auxiliary head: average pooling by the stride, then one
    convolution with BN and ReLU to the teacher's channels.

    Args:
        *args: See :class:`BaseBranchHead`.
        kernel_size (int): Kernel of the convolution, odd. 1 is the usual
            regressor of feature distillation. Defaults to 3.
        **kwargs: See :class:`BaseBranchHead`.

    Raises:
        ValueError: If ``kernel_size`` is not a positive odd number.
    """

    def __init__(self, *args, kernel_size: int = 3, **kwargs) -> None:
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError('kernel_size should be a positive odd number, '
                             f'but got {kernel_size}')
        self.kernel_size = kernel_size
        super().__init__(*args, **kwargs)

    def build_projector(self, stride: int) -> nn.Sequential:
        """Build pooling, convolution, BN and ReLU."""
        return nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.Conv2d(
                self.in_channels,
                self.out_channels,
                self.kernel_size,
                padding=self.kernel_size // 2,
                bias=False), nn.BatchNorm2d(self.out_channels), nn.ReLU())
