"""A head without depth."""

from torch import nn

from mmdskd.registry import MODELS

from .base_branch_head import BaseBranchHead


@MODELS.register_module()
class LinearHead(BaseBranchHead):
    """Average pooling by the stride, then one 1x1 convolution to the
    teacher's channels, without BN and ReLU.

    Feature and logits are thus linear in the feature of the shallow layer: a
    head that can do no work alone, as the probes of `Alain and Bengio
    <https://arxiv.org/abs/1610.01644>`_. It tells whether a deeper head takes
    over what the layers below should learn.

    Args:
        in_channels (int): See :class:`BaseBranchHead`, as for the next four.
        out_channels (int): Channels of the teacher's last feature.
        num_classes (int, optional): Number of classes. Defaults to None.
        stride (int or float): Size of the feature over that of the teacher's.
            Defaults to 1.
        out_size (int or tuple[int, int], optional): Size of the teacher's
            feature, in place of ``stride``. Defaults to None.
    """

    def build_projector(self, stride: int) -> nn.Sequential:
        """Build pooling and convolution."""
        return nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.Conv2d(self.in_channels, self.out_channels, 1),
        )
