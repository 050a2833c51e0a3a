"""What the backbones for small images share."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import Tensor, nn

from mmdskd.utils.rules import (
    COUNT,
    FLAG,
    INDEX,
    Kind,
    ListOf,
    Number,
    optional,
)
from mmdskd.utils.values import check_values

_LAYER = optional(Kind('the config of a layer'))


class DepthRule(Number):
    """A whole number 6n + k, with n >= 1.

    Args:
        rest (int): k.
    """

    rest: int

    def __init__(self, rest: int) -> None:
        super().__init__(least=6 + rest, whole=True)
        object.__setattr__(self, 'rest', rest)

    @property
    def text(self) -> str:
        """str: The rule."""
        first = [str(6 * n + self.rest) for n in range(1, 6)]
        return f'6n + {self.rest} with n >= 1 ({", ".join(first)}, ...)'

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        error = super().error(value)
        return error or (ValueError if value % 6 != self.rest else None)


# What PyTorch itself gives a convolution.
TORCH_INIT = dict(
    type='Kaiming',
    layer='Conv2d',
    a=5**0.5,
    mode='fan_in',
    nonlinearity='leaky_relu',
    distribution='uniform',
)


def check_positive(name: str, values: Sequence[int], number: int) -> None:
    """Check sizes, such as channels and strides.

    Args:
        name (str): What they are.
        values (Sequence[int]): The sizes.
        number (int): How many there should be.

    Raises:
        ValueError: If they are not so many whole numbers >= 1.
    """
    if (
        not isinstance(values, (list, tuple))
        or len(values) != number
        or not all(type(value) is int and value >= 1 for value in values)
    ):
        raise ValueError(
            f'{name} should be a list of {number} whole numbers '
            f'>= 1, one for each stage, but got {values!r}.'
        )


class BaseCIFARBackbone(BaseBackbone):
    """Base class of the networks for small images on which the KD field
    compares.

    A subclass names its modules in the order in which they run; the names are
    public, as recorders attach to them. The stages are always ``layer1``,
    ``layer2`` and so on. What ``TAIL`` names runs after the last stage and
    belongs to it: the last output is that of the tail.

    Args:
        out_indices (Sequence[int]): Stages to return, counted from 0, in
            increasing order.
        frozen_stages (int): 0 freezes the stem, k the stem and the first k
            stages: no gradients, and BN in eval mode. -1 freezes nothing.
        norm_eval (bool): Whether all BN layers keep their running statistics
            in training.
        init_cfg (dict or list[dict], optional): Initialisation. None means
            the network's own, ``INIT_CFG``.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` is not as
            described.
    """

    STEM: tuple[str, ...] = ('conv1', 'bn1', 'relu')
    STAGES: tuple[str, ...] = ('layer1', 'layer2', 'layer3')
    TAIL: tuple[str, ...] = ()
    # He et al., fan out: what most networks of the field start from.
    INIT_CFG: Sequence[dict] = (
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    )

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        depth=COUNT,
        in_channels=COUNT,
        stem_channels=COUNT,
        stage_channels=ListOf(COUNT),
        strides=ListOf(COUNT),
        groups=COUNT,
        widen_factor=Number(above=0),
        expand_ratio=COUNT,
        out_indices=ListOf(INDEX),
        frozen_stages=Number(least=-1, whole=True),
        norm_eval=FLAG,
        conv_cfg=_LAYER,
        norm_cfg=_LAYER,
        act_cfg=_LAYER,
    )

    def __init__(
        self,
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_eval: bool,
        init_cfg: Union[dict, Sequence[dict], None],
    ) -> None:
        if init_cfg is None:
            init_cfg = list(self.INIT_CFG)
        super().__init__(init_cfg)
        num_stages = len(self.STAGES)
        stages = tuple(range(num_stages))
        if (
            not isinstance(out_indices, (list, tuple))
            or not out_indices
            or not set(out_indices) <= set(stages)
            or list(out_indices) != sorted(set(out_indices))
        ):
            raise ValueError(
                'out_indices should be a list of one or more of '
                f'the stages {stages} in increasing order, but '
                f'got {out_indices!r}.'
            )
        if type(frozen_stages) is not int or not (
            -1 <= frozen_stages <= num_stages
        ):
            stem = ' (the stem)' if self.STEM else ''
            raise ValueError(
                f'frozen_stages should be -1 (nothing), 0{stem} '
                f'or up to {num_stages} (so many stages and what '
                f'is before), but got {frozen_stages!r}.'
            )
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.check_values(norm_eval=norm_eval)
        self.norm_eval = norm_eval

    def check_values(self, **values: Any) -> None:
        """Check arguments of the constructor.

        Args:
            **values: The arguments.

        Raises:
            TypeError: If one is of another type.
            ValueError: If one is out of its range.
        """
        check_values(type(self).__name__, self.VALUES, values)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the stages in ``out_indices``.

        Args:
            x (Tensor): Images, (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map for each of ``out_indices``,
            (N, C_i, H_i, W_i), with H_i = H divided by the strides up to that
            stage.
        """
        for name in self.STEM:
            x = getattr(self, name)(x)
        outs = []
        for i, name in enumerate(self.STAGES):
            x = getattr(self, name)(x)
            if name == self.STAGES[-1]:
                for tail in self.TAIL:
                    x = getattr(self, tail)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch the mode; what is frozen stays in eval mode.

        Args:
            mode (bool): True for training, False for evaluation.

        Returns:
            nn.Module: The backbone itself, as of :meth:`nn.Module.train`.
        """
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _add_conv_layer(
        self,
        names: tuple[str, ...],
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        conv_cfg: Optional[dict],
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        """Add convolution, normalisation and activation under ``names``.

        As modules of their own, and not as mmcv's ``ConvModule``, which as a
        child of the backbone would undo ``init_cfg`` by its own
        initialisation.
        """
        conv, norm, act = names
        self.add_module(
            conv,
            build_conv_layer(
                conv_cfg,
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                bias=False,
            ),
        )
        self.add_module(norm, build_norm_layer(norm_cfg, out_channels)[1])
        self.add_module(act, build_activation_layer(act_cfg))

    def _freeze_stages(self) -> None:
        """Take the frozen modules out of training."""
        if self.frozen_stages < 0:
            return
        frozen = self.STEM + self.STAGES[: self.frozen_stages]
        if self.frozen_stages == len(self.STAGES):
            frozen += self.TAIL
        for name in frozen:
            module = getattr(self, name)
            module.eval()
            module.requires_grad_(False)
