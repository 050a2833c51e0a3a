"""What the heads of branches share."""

from abc import ABCMeta, abstractmethod
from typing import Any, ClassVar, NamedTuple, Optional, Union

import torch.nn.functional as F
from mmengine.model import constant_init, kaiming_init, normal_init
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdskd.utils.rules import COUNT, Absent, AnyOf, ListOf, optional
from mmdskd.utils.values import check_values


class RatioRule:
    """A whole number n >= 1, or 1/n."""

    text = 'a whole number n >= 1, or 1/n such as 0.5'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return TypeError
        return None if is_ratio(value) else ValueError


RATIO = RatioRule()
SIZE = AnyOf((COUNT, ListOf(COUNT, length=2), Absent()))


class Branch(NamedTuple):
    """What an auxiliary head makes of one shallow layer of the student.

    Attributes:
        feat (Tensor, optional): g_l(F_l), of the shape of the teacher's last
            feature, (N, C, H, W).
        logits (Tensor, optional): Class logits z_l, (N, K). None if the head
            has no classifier.
    """

    feat: Optional[Tensor] = None
    logits: Optional[Tensor] = None


class BaseBranchHead(nn.Module, metaclass=ABCMeta):
    """Base class of the auxiliary heads on the student's shallow layers.

    A head projects the feature of a shallow layer to the shape of the
    teacher's last feature, averages it over its positions and classifies it.
    Designs differ in the projector, which a subclass builds; the rest is the
    same for all of them.

    A stride that is a power of two is left to the projector. Any other
    whole stride, and a target size, is reached by adaptive average pooling
    before the projector, which then keeps the size. A stride of 1/n, for a
    teacher's feature that is larger than the student's, repeats every
    position n times each way after the projector.

    Args:
        in_channels (int): Channels of the shallow feature.
        out_channels (int): Channels of the teacher's last feature.
        num_classes (int, optional): Number of classes K. None builds no
            classifier. Defaults to None.
        stride (int or float): Height and width of the shallow feature over
            those of the teacher's last feature: n or 1/n, with a whole number
            n >= 1. Defaults to 1.
        out_size (int or tuple[int, int], optional): Height and width of the
            teacher's last feature; it takes the place of ``stride``.
            Defaults to None.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``stride`` is neither n nor 1/n, or another number is
            out of its range.
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        in_channels=COUNT,
        out_channels=COUNT,
        num_classes=optional(COUNT),
        stride=RATIO,
        out_size=SIZE,
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: Optional[int] = None,
        stride: Union[int, float] = 1,
        out_size: Union[int, tuple[int, int], None] = None,
    ) -> None:
        super().__init__()
        check_values(
            type(self).__name__,
            BaseBranchHead.VALUES,
            dict(
                in_channels=in_channels,
                out_channels=out_channels,
                num_classes=num_classes,
                stride=stride,
                out_size=out_size,
            ),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_classes = num_classes
        self.upsample = 1 if stride >= 1 else round(1 / stride)
        self.stride = stride = round(stride) if stride >= 1 else 1
        self.out_size = None if out_size is None else to_2tuple(out_size)
        power_of_two = stride & (stride - 1) == 0
        self.pool_first = self.out_size is not None or not power_of_two
        self.projector = self.build_projector(1 if self.pool_first else stride)
        self.classifier = (
            None
            if num_classes is None
            else nn.Linear(out_channels, num_classes)
        )
        self.init_weights()

    @abstractmethod
    def build_projector(self, stride: int) -> nn.Module:
        """Build the module that maps (N, in_channels, H, W) to
        (N, out_channels, H / stride, W / stride).

        Args:
            stride (int): A power of two, 1 included.
        """

    def init_weights(self) -> None:
        """Initialise every layer.

        Convolutions by He et al., normalisation to the identity, and the
        classifier small, so that a new head predicts all classes alike.
        MMEngine does not do it: it never reaches the ``init_cfg`` of
        connectors, which sit in a plain ``ModuleDict``.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                kaiming_init(module)
            elif isinstance(module, _BatchNorm):
                constant_init(module, 1)
            elif isinstance(module, nn.Linear):
                normal_init(module, std=0.01)

    def forward(self, feature: Tensor) -> Branch:
        """Project and classify the feature of a shallow layer.

        Args:
            feature (Tensor): (N, in_channels, H, W).

        Returns:
            Branch: The projected feature, (N, out_channels, H', W'), and the
            logits, (N, K), or None without a classifier.
        """
        if self.pool_first:
            size = self.out_size or tuple(
                -(-edge // self.stride) for edge in feature.shape[2:]
            )
            feature = F.adaptive_avg_pool2d(feature, size)
        feat = self.projector(feature)
        logits = (
            None
            if self.classifier is None
            else self.classifier(feat.mean(dim=(2, 3)))
        )
        if self.upsample > 1:
            feat = F.interpolate(feat, scale_factor=self.upsample)
        return Branch(feat, logits)


def is_ratio(stride: Union[int, float]) -> bool:
    """Whether a stride is n or 1/n.

    Args:
        stride (int or float): The stride.

    Returns:
        bool: Whether it is, with a whole number n >= 1.
    """
    if isinstance(stride, bool) or not isinstance(stride, (int, float)):
        return False
    if not 0 < stride < float('inf'):
        return False
    ratio = max(stride, 1 / stride)
    return abs(ratio - round(ratio)) < 1e-6
