from typing import NamedTuple

from mmdskd.models.utils.feature_layout import FeatureLayout

# As many tokens without a position as a network may have: the class token,
# that of DeiT's distillation, and registers.
MAX_EXTRA_TOKENS = 8


class Feature(NamedTuple):
    """A module of a network whose output is a feature with positions.

    Attributes:
        name (str): Its name in ``network.named_modules()``.
        layout (FeatureLayout): How the output is laid out.
        channels (int): Its channels.
        grid (tuple[int, int]): Height and width, in positions.
        num_layers (int): Convolutions and linear layers in the module.
    """

    name: str
    layout: FeatureLayout
    channels: int
    grid: tuple[int, int]
    num_layers: int

    @property
    def shape(self) -> str:
        """str: Channels x height x width, and the layout if no NCHW map."""
        text = f'{self.channels}x{self.grid[0]}x{self.grid[1]}'
        if self.layout.order == 'NHWC':
            return f'{text} (NHWC)'
        if self.layout.order == 'NLC':
            extra = self.layout.num_extra_tokens
            more = f' + {extra}' if extra else ''
            return f'{text} ({self.grid[0] * self.grid[1]}{more} tokens)'
        return text


def _is_pooled(feature: Feature) -> bool:
    return feature.grid == (1, 1) and not feature.num_layers
