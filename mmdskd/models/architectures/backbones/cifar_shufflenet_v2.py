"""ShuffleNetV2 for small images."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

from mmpretrain.models.backbones.shufflenet_v2 import InvertedResidual
from torch import nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import Choice, ListOf, Number

from .base_cifar_backbone import TORCH_INIT, BaseCIFARBackbone


@MODELS.register_module()
class CIFARShuffleNetV2(BaseCIFARBackbone):
    """The ShuffleNetV2 for small images on which the KD field compares.

    Units with a channel split and shuffle, after `ShuffleNet V2: Practical
    Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_, on MMPretrain's blocks. Only the stem
    is another than that of MMPretrain's network: a 1x1 convolution without
    stride, and no pooling. With a linear head the parameters are those of
    the KD codebases' network.

    The modules ``conv1``, ``bn1``, ``relu``, ``layer1``, ``layer2``,
    ``layer3``, ``conv2``, ``bn2`` and ``relu2`` are public names. The last
    output is that of ``relu2``, which the classifier pools.

    Args:
        widen_factor (float): 0.5, 1.0, 1.5 or 2.0. Defaults to 1.0. At 2.0
            the field has 224 channels in the first stage, the paper 244.
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
        ValueError: If ``widen_factor``, ``out_indices`` or ``frozen_stages``
            is not as described.

    Examples:
        >>> import torch
        >>> from mmdskd.models import CIFARShuffleNetV2
        >>> shufflenetv2 = CIFARShuffleNetV2(out_indices=(0, 1, 2))
        >>> for feat in shufflenetv2(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feat.shape))
        (1, 116, 16, 16)
        (1, 232, 8, 8)
        (1, 1024, 4, 4)
    """

    TAIL = ('conv2', 'bn2', 'relu2')
    STEM_CHANNELS = 24
    STAGE_BLOCKS = (4, 8, 4)
    # Channels of the three stages and of the tail.
    ARCHS = {
        0.5: (48, 96, 192, 1024),
        1.0: (116, 232, 464, 1024),
        1.5: (176, 352, 704, 1024),
        2.0: (224, 488, 976, 2048),
    }
    INIT_CFG = (TORCH_INIT,)

    VALUES: ClassVar[dict[str, Any]] = dict(
        BaseCIFARBackbone.VALUES,
        widen_factor=Choice(tuple(ARCHS)),
        out_indices=ListOf(Number(least=0, most=2, whole=True)),
        frozen_stages=Number(least=-1, most=3, whole=True),
    )

    def __init__(
        self,
        widen_factor: float = 1.0,
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
        if widen_factor not in self.ARCHS:
            raise ValueError(
                'widen_factor should be one of '
                f'{list(self.ARCHS)}, but got {widen_factor!r}.'
            )
        layer_cfg: dict[str, Any] = dict(
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )
        *stage_channels, last_channels = self.ARCHS[widen_factor]
        channels = self.STEM_CHANNELS
        self._add_conv_layer(
            self.STEM, in_channels, channels, 1, 1, **layer_cfg
        )
        for name, out_channels, num_blocks in zip(
            self.STAGES, stage_channels, self.STAGE_BLOCKS
        ):
            layers = []
            for i in range(num_blocks):
                layers.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        stride=2 if i == 0 else 1,
                        **layer_cfg,
                    )
                )
                channels = out_channels
            self.add_module(name, nn.Sequential(*layers))
        self._add_conv_layer(
            self.TAIL, channels, last_channels, 1, 1, **layer_cfg
        )
        self._freeze_stages()
