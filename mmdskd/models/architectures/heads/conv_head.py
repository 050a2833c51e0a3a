"""A head of plain convolutions."""

from typing import Any, ClassVar, Optional, Union

from torch import nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import Number
from mmdskd.utils.values import check_values

from .base_branch_head import BaseBranchHead


class OddNumber(Number):
    """A whole number that is odd."""

    @property
    def text(self) -> str:
        """str: The rule."""
        return 'a positive odd number'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        return super().error(value) or (ValueError if value % 2 == 0 else None)


@MODELS.register_module()
class ConvHead(BaseBranchHead):
    """The plain auxiliary head: average pooling by the stride, then one
    convolution with BN and ReLU to the teacher's channels.

    Args:
        in_channels (int): See :class:`BaseBranchHead`, as for the next four.
        out_channels (int): Channels of the teacher's last feature.
        num_classes (int, optional): Number of classes. Defaults to None.
        stride (int or float): Size of the feature over that of the teacher's.
            Defaults to 1.
        out_size (int or tuple[int, int], optional): Size of the teacher's
            feature, in place of ``stride``. Defaults to None.
        kernel_size (int): Kernel of the convolution, odd. 1 is the usual
            regressor of feature distillation. Defaults to 3.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``kernel_size`` is not a positive odd number.
    """

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseBranchHead.VALUES, kernel_size=OddNumber(least=1, whole=True)
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: Optional[int] = None,
        stride: Union[int, float] = 1,
        out_size: Union[int, tuple[int, int], None] = None,
        kernel_size: int = 3,
    ) -> None:
        check_values('ConvHead', self.VALUES, dict(kernel_size=kernel_size))
        self.kernel_size = kernel_size
        super().__init__(
            in_channels, out_channels, num_classes, stride, out_size
        )

    def build_projector(self, stride: int) -> nn.Sequential:
        """Build pooling, convolution, BN and ReLU."""
        return nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.Conv2d(
                self.in_channels,
                self.out_channels,
                self.kernel_size,
                padding=self.kernel_size // 2,
                bias=False,
            ),
            nn.BatchNorm2d(self.out_channels),
            nn.ReLU(),
        )
