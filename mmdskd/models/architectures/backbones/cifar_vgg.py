"""VGG for small images."""

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import Choice, ListOf, Number

from .base_cifar_backbone import BaseCIFARBackbone


class LargeMapMaxPool(nn.MaxPool2d):
    """A 2x2 max-pooling that leaves maps below 8 pixels as they are.

    Before the last stage of :class:`CIFARVGG`, images of 64 pixels have come
    down to 8, those of 32 pixels to 4: the field pools the former only.
    """

    MIN_SIZE = 8

    def __init__(self) -> None:
        super().__init__(kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Pool a large map.

        Args:
            x (Tensor): (N, C, H, W).

        Returns:
            Tensor: (N, C, H / 2, W / 2) if H and W are at least 8, else
            ``x``.
        """
        return super().forward(x) if min(x.shape[2:]) >= self.MIN_SIZE else x


@MODELS.register_module()
class CIFARVGG(BaseCIFARBackbone):
    """The VGG with batch norm for small images on which the KD field compares.

    Five stages of biased 3x3 convolutions with BN and ReLU, after `Very Deep
    Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_, without its fully connected layers.
    A 2x2 max-pooling stands before stages 2, 3 and 4, and before stage 5 for
    images of 64 pixels and more. MMPretrain's VGG pools after every stage,
    knows no depth 8 and names its modules by their position.

    The modules ``layer1`` to ``layer5`` are public names. A stage begins with
    its pooling, if it has one, and ends in its activation. Pooling rounds
    down. A trace of the network holds for images on its side of 64 pixels.

    Args:
        depth (int): 8, 11, 13, 16 or 19.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (Sequence[int]): Stages to return, of 0 to 4, in
            increasing order. Defaults to (4, ).
        frozen_stages (int): k > 0 freezes the first k stages: no gradients,
            and BN in eval mode. 0 and -1 freeze nothing. Defaults to -1.
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
        ValueError: If ``depth``, ``out_indices`` or ``frozen_stages`` is not
            as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARVGG
        >>> vgg8 = CIFARVGG(8, out_indices=(0, 1, 2, 3, 4))
        >>> for feat in vgg8(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 64, 32, 32)
        (1, 128, 16, 16)
        (1, 256, 8, 8)
        (1, 512, 4, 4)
        (1, 512, 4, 4)
    """

    STEM = ()
    STAGES = ('layer1', 'layer2', 'layer3', 'layer4', 'layer5')
    STAGE_CHANNELS = (64, 128, 256, 512, 512)
    # Number of convolutions of each stage.
    ARCHS = {
        8: (1, 1, 1, 1, 1),
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        depth=Choice(tuple(ARCHS)),
        out_indices=ListOf(Number(least=0, most=4, whole=True)),
        frozen_stages=Number(least=-1, most=5, whole=True),
    )

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        out_indices: Sequence[int] = (4,),
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
        if type(depth) is not int or depth not in self.ARCHS:
            raise ValueError(
                f'depth should be one of {list(self.ARCHS)}, but '
                f'got {depth!r}.'
            )
        pools: tuple[list[nn.Module], ...] = (
            [],
            [nn.MaxPool2d(2)],
            [nn.MaxPool2d(2)],
            [nn.MaxPool2d(2)],
            [LargeMapMaxPool()],
        )
        for name, num_convs, channels, layers in zip(
            self.STAGES, self.ARCHS[depth], self.STAGE_CHANNELS, pools
        ):
            for _ in range(num_convs):
                with warnings.catch_warnings():
                    # The KD codebases' networks have a bias before BN.
                    warnings.filterwarnings(
                        'ignore', 'Unnecessary conv bias before'
                    )
                    layers.append(
                        ConvModule(
                            in_channels,
                            channels,
                            3,
                            padding=1,
                            bias=True,
                            conv_cfg=conv_cfg,
                            norm_cfg=norm_cfg or dict(type='BN'),
                            act_cfg=act_cfg or dict(type='ReLU'),
                        )
                    )
                in_channels = channels
            self.add_module(name, nn.Sequential(*layers))
        self._freeze_stages()
