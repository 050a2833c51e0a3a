"""The heads of all branches, as one connector."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from mmrazor.models.architectures.connectors.base_connector import (
    BaseConnector,
)
from torch import Tensor, nn

from mmdskd.models.utils.feature_layout import (
    LAYOUT,
    FeatureLayout,
    Layout,
    unpack_feature,
)
from mmdskd.registry import MODELS
from mmdskd.utils.config import AUTO, check_resolved, find_class
from mmdskd.utils.rules import (
    COUNT,
    Absent,
    AnyOf,
    Choice,
    Kind,
    ListOf,
    optional,
)
from mmdskd.utils.signatures import check_argument_names
from mmdskd.utils.values import check_value, check_values

from ..heads import BaseBranchHead, Branch
from ..heads.base_branch_head import RATIO, SIZE

_AUTO = Choice((AUTO,))
_NONE = Absent()
# What the connector itself gives to each head.
_OF_CONNECTOR = (
    'in_channels',
    'out_channels',
    'num_classes',
    'stride',
    'out_size',
)


@MODELS.register_module()
class DSKDConnector(BaseConnector):
    """The auxiliary heads of deeply-supervised knowledge distillation.

    One head per shallow layer of the student brings the feature of that layer
    to the shape of the teacher's last feature and classifies it. The
    connector takes the list that ``mmdskd.MultiModuleOutputs`` recorded and
    returns one :class:`Branch` per head, so that each head runs once per
    iteration, however many terms of the loss read it. The heads exist in
    training only.

    Args:
        in_channels (Sequence[int]): Channels of the shallow features, in the
            order of the recorder's ``sources``. "auto" is for configs that
            :func:`mmdskd.utils.resolve_auto` goes through: it finds this and
            all of the following but ``head`` that are not given.
        out_channels (int): Channels of the teacher's last feature.
        num_classes (int, optional): Number of classes. None builds no
            classifier, for a :class:`~mmdskd.models.DSKDLoss` without logit
            and label loss. Defaults to None.
        strides (Sequence[int or float], optional): For each branch, height
            and width of its feature over those of the teacher's last feature:
            a whole number n >= 1, or 1/n (0.5, 0.25, ...) where the teacher's
            is the larger one. Adaptive pooling serves those that are not a
            power of two. Give this or ``out_size``. Defaults to None.
        out_size (int or tuple[int, int], optional): Height and width of the
            teacher's last feature, reached by adaptive pooling from any size.
            Defaults to None.
        layouts (str or dict or list): Layout of the shallow features, one for
            all branches or one per branch, see
            :class:`~mmdskd.models.FeatureLayout`: "NCHW", "NHWC", "NLC" or,
            with a class token, ``dict(order='NLC', num_extra_tokens=1)``.
            The heads work on maps, whatever the layout. Defaults to "NCHW".
        head (dict): Config of the design of the heads, a subclass of
            :class:`BaseBranchHead`: ``dict(type='mmdskd.SepConvHead')`` or
            ``dict(type='mmdskd.ConvHead')`` or
            ``dict(type='mmdskd.LinearHead')``. Defaults to None, which means
            the former.
        init_cfg (dict, optional): Kept for the signature of MMRazor's
            connectors. The heads initialise themselves. Defaults to None.

    Raises:
        ValueError: If not exactly one of ``strides`` and ``out_size`` is
            given, the numbers are not positive, or not one per branch, a
            layout is none, or something is still "auto".
        TypeError: If ``head`` is not a :class:`BaseBranchHead`.

    Examples:
        >>> import torch
        >>> from mmdskd.models import DSKDConnector
        >>> heads = DSKDConnector(
        ...     in_channels=[64, 128], strides=[4, 2], out_channels=256,
        ...     num_classes=100)
        >>> branches = heads([
        ...     torch.rand(2, 64, 32, 32), torch.rand(2, 128, 16, 16)])
        >>> [tuple(branch.feat.shape) for branch in branches]
        [(2, 256, 8, 8), (2, 256, 8, 8)]
        >>> [tuple(branch.logits.shape) for branch in branches]
        [(2, 100), (2, 100)]
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        in_channels=AnyOf((ListOf(COUNT), _AUTO)),
        out_channels=AnyOf((COUNT, _AUTO)),
        num_classes=AnyOf((COUNT, _NONE, _AUTO)),
        strides=AnyOf((ListOf(RATIO), _NONE, _AUTO)),
        out_size=AnyOf((SIZE, _AUTO)),
        layouts=AnyOf((LAYOUT, ListOf(LAYOUT), _AUTO)),
        head=optional(Kind('the config of a BaseBranchHead')),
    )

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_classes: Optional[int] = None,
        strides: Optional[Sequence[Union[int, float]]] = None,
        out_size: Union[int, tuple[int, int], None] = None,
        layouts: Union[Layout, Sequence[Layout]] = 'NCHW',
        head: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        check_resolved(
            'DSKDConnector',
            in_channels=in_channels,
            out_channels=out_channels,
            num_classes=num_classes,
            strides=strides,
            out_size=out_size,
            layouts=layouts,
        )
        check_values(
            'DSKDConnector',
            self.VALUES,
            dict(
                in_channels=in_channels,
                out_channels=out_channels,
                num_classes=num_classes,
                strides=strides,
                out_size=out_size,
                head=head,
            ),
        )
        self.check_together(
            dict(
                in_channels=in_channels,
                strides=strides,
                out_size=out_size,
                layouts=layouts,
            )
        )
        if strides is None:
            strides = [1] * len(in_channels)
        if isinstance(layouts, (str, dict, FeatureLayout)):
            layouts = [layouts] * len(in_channels)
        self.layouts = [FeatureLayout.parse(layout) for layout in layouts]
        head = dict(type='mmdskd.SepConvHead') if head is None else dict(head)
        _check_head(head)
        self.num_classes = num_classes
        self.heads = nn.ModuleList(
            MODELS.build(
                dict(
                    head,
                    in_channels=branch_channels,
                    out_channels=out_channels,
                    num_classes=num_classes,
                    stride=stride,
                    out_size=out_size,
                )
            )
            for branch_channels, stride in zip(in_channels, strides)
        )
        for built in self.heads:
            if not isinstance(built, BaseBranchHead):
                raise TypeError(
                    'head should be a BaseBranchHead, such as '
                    'mmdskd.SepConvHead or mmdskd.ConvHead, but got '
                    f'{type(built).__name__}'
                )

    @staticmethod
    def check_together(arguments: Mapping[str, Any]) -> None:
        """Check arguments that depend on one another.

        Args:
            arguments (dict): The arguments by name.

        Raises:
            TypeError: If ``layouts`` is of another type.
            ValueError: If they don't fit one another.
        """
        strides, out_size = arguments.get('strides'), arguments.get('out_size')
        if (strides is None) == (out_size is None):
            raise ValueError(
                'DSKDConnector needs either strides (one per branch) or '
                f'out_size, but got strides={strides} and out_size={out_size}'
            )
        in_channels = list(arguments['in_channels'])
        layouts = arguments.get('layouts', 'NCHW')
        if isinstance(layouts, (int, float)):
            check_value('layouts', layouts, DSKDConnector.VALUES['layouts'])
        for name, values, how in (
            ('strides', strides, 'give one number'),
            ('layouts', layouts, 'be one for all branches, or one'),
        ):
            if isinstance(values, (list, tuple)) and not isinstance(
                values, FeatureLayout
            ):
                if len(values) == len(in_channels):
                    continue
                raise ValueError(
                    f'{name} should {how} per branch, {len(in_channels)} as '
                    f'in_channels={in_channels} do, but got {values}'
                )

    @property
    def num_branches(self) -> int:
        """int: Number of branches."""
        return len(self.heads)

    def forward_train(self, feature: Sequence[Tensor]) -> list[Branch]:
        """Run each head once.

        Args:
            feature (Sequence[Tensor]): The features of the shallow layers,
                each (N, C_l, H_l, W_l), or as its layout says, or what
                :meth:`~mmdskd.models.FeatureLayout.to_map` takes besides.

        Returns:
            list[Branch]: Per branch the projected feature,
            (N, out_channels, H, W), and the logits, (N, K), or None.

        Raises:
            TypeError: If ``feature`` is not a list of tensors.
            ValueError: If the number of features or the shape of one is not
                that of the heads.
        """
        if not isinstance(feature, (list, tuple)):
            found = (
                f'one tensor of shape {tuple(feature.shape)}'
                if isinstance(feature, Tensor)
                else f'a {type(feature).__name__}'
            )
            raise TypeError(
                'DSKDConnector takes the list of features that '
                f'mmdskd.MultiModuleOutputs records, but got '
                f'{found}'
            )
        if len(feature) != self.num_branches:
            raise ValueError(
                f'DSKDConnector has {self.num_branches} branches, but got '
                f'{len(feature)} features: in_channels should have one entry '
                "per source of the recorder's sources"
            )
        return [
            self.run_head(index, feat) for index, feat in enumerate(feature)
        ]

    def run_head(self, index: int, feature: Any) -> Branch:
        """Run one head.

        Args:
            index (int): Index of the branch.
            feature (Tensor or tuple): The feature of its layer, as in
                :meth:`forward_train`.

        Returns:
            Branch: As in :meth:`forward_train`.

        Raises:
            TypeError: If there is not exactly one tensor in ``feature``.
            ValueError: If its shape is not that of the head.
        """
        head, layout = self.heads[index], self.layouts[index]
        try:
            feature_map = layout.to_map(feature)
        except (TypeError, ValueError) as error:
            raise type(error)(f'Branch {index}: {error}') from None
        if feature_map.size(1) != head.in_channels:
            expected = layout.shape.replace('C', str(head.in_channels))
            raise ValueError(
                f'Branch {index}: expected a feature of shape {expected} as '
                'in_channels says, but got '
                f'{tuple(unpack_feature(feature)[0].shape)}'
            )
        return head(feature_map)


def _check_head(head: dict) -> None:
    """Check the keys of the config of a head, before L of them are built."""
    twice = [name for name in _OF_CONNECTOR if name in head]
    if twice:
        raise ValueError(
            f'head should leave {", ".join(_OF_CONNECTOR)} to the '
            f'DSKDConnector, but has {", ".join(twice)}: give them to the '
            'connector (stride as strides)'
        )
    if head.get('type') is None:
        raise ValueError(
            'head should be the config of a BaseBranchHead, such as '
            f"dict(type='mmdskd.ConvHead'), but has no type: {head!r}"
        )
    found = find_class(MODELS, head, 'mmdskd')
    if found is not None:
        given = [key for key in head if key not in ('type', '_scope_')]
        check_argument_names('head', found, given)
