"""Bring what networks return to maps (N, C, H, W)."""

import math
from typing import Any, NamedTuple, Optional, Union

from torch import Tensor

from mmdskd.utils.rules import Choice

ORDERS = ('NCHW', 'NHWC', 'NLC')


class FeatureLayout(NamedTuple):
    """How a recorded feature is laid out, and the way to a map (N, C, H, W).

    Attributes:
        order (str): "NCHW" for the maps of CNNs, "NHWC" for maps with
            channels last, "NLC" for sequences of tokens, whose positions are
            in row-major order. Defaults to "NCHW".
        num_extra_tokens (int): Tokens of no position that go before the
            others, such as the class token and DeiT's distillation token;
            they are left out of the map. Defaults to 0.
        grid_size (tuple[int, int], optional): Height and width of the tokens'
            grid. None means the one that the module returns beside them, as
            Swin's do, else a square. Defaults to None.

    Examples:
        >>> import torch
        >>> from mmdskd.models import FeatureLayout
        >>> layout = FeatureLayout.parse(
        ...     dict(order='NLC', num_extra_tokens=1))
        >>> layout.to_map(torch.rand(2, 197, 384)).shape
        torch.Size([2, 384, 14, 14])
    """

    order: str = 'NCHW'
    num_extra_tokens: int = 0
    grid_size: Optional[tuple[int, int]] = None

    @classmethod
    def parse(cls, layout: 'Layout') -> 'FeatureLayout':
        """Read a layout as configs write it.

        Args:
            layout (str or dict or FeatureLayout): The order alone, or a dict
                of the attributes.

        Returns:
            FeatureLayout: The layout.

        Raises:
            ValueError: If it is not a layout.
        """
        fields = dict(order=layout) if isinstance(layout, str) else layout
        if isinstance(fields, FeatureLayout):
            fields = fields._asdict()
        if not isinstance(fields, dict) or set(fields) - set(cls._fields):
            raise ValueError(
                f'A layout should be one of {", ".join(ORDERS)}, or a dict of '
                f'{", ".join(cls._fields)}, but got {layout!r}'
            )
        parsed = cls(**fields)
        if parsed.order not in ORDERS:
            raise ValueError(
                f'The order of a layout should be one of '
                f'{", ".join(ORDERS)}, but got {parsed.order!r}'
            )
        grid = () if parsed.grid_size is None else parsed.grid_size
        is_grid = isinstance(grid, (tuple, list)) and len(grid) in (0, 2)
        numbers = [parsed.num_extra_tokens, *(grid if is_grid else ())]
        if not is_grid or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(
                'num_extra_tokens of a layout should be a whole number >= 0, '
                'and grid_size (height, width) or None, but got '
                f'{parsed.num_extra_tokens!r} and {parsed.grid_size!r}'
            )
        if parsed.order != 'NLC' and any(numbers):
            raise ValueError(
                'num_extra_tokens and grid_size go with the order NLC, but '
                f'got {layout!r}'
            )
        if parsed.grid_size is None:
            return parsed
        height, width = parsed.grid_size
        return parsed._replace(grid_size=(height, width))

    @property
    def shape(self) -> str:
        """str: The shape of a feature, such as "(N, C, H, W)"."""
        return f'({", ".join(self.order)})'

    @property
    def config(self) -> Union[str, dict]:
        """str or dict: The layout as a config writes it."""
        fields = {
            name: value
            for name, value in self._asdict().items()
            if value != self._field_defaults[name]
        }
        return self.order if set(fields) <= {'order'} else fields

    def to_map(self, feature: Any) -> Tensor:
        """Bring a feature to a map.

        Args:
            feature (Tensor or tuple): What a module has returned: the
                feature, (N, C, H, W), (N, H, W, C) or (N, L, C), or a tuple
                with it as its only tensor, such as ``(tokens, (H, W))``.

        Returns:
            Tensor: The map, (N, C, H, W), a view where that is possible.

        Raises:
            TypeError: If there is not exactly one tensor.
            ValueError: If its shape is not that of the layout.
        """
        feature, returned_grid = unpack_feature(feature)
        if feature.dim() != len(self.order):
            raise ValueError(
                f'expected a feature of shape {self.shape}, but '
                f'got {tuple(feature.shape)}; see its layout'
            )
        if self.order == 'NCHW':
            return feature
        if self.order == 'NHWC':
            return feature.permute(0, 3, 1, 2)
        tokens = feature[:, self.num_extra_tokens :]
        count = tokens.size(1)
        height, width = (
            self.grid_size or returned_grid or (math.isqrt(count),) * 2
        )
        if height * width != count or count == 0:
            raise ValueError(
                f'expected tokens of a grid {height} x {width} after '
                f'num_extra_tokens={self.num_extra_tokens} others, but got '
                f'{feature.size(1)} tokens; give num_extra_tokens and '
                'grid_size in the layout'
            )
        return tokens.transpose(1, 2).unflatten(2, (height, width))


#: A layout as a config writes it, or read.
Layout = Union[str, dict, FeatureLayout]


class LayoutRule(Choice):
    """What :meth:`FeatureLayout.parse` reads."""

    @property
    def text(self) -> str:
        """str: The rule."""
        return (
            f'a layout ({", ".join(ORDERS)}, or a dict of '
            f'{", ".join(FeatureLayout._fields)})'
        )

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        if not isinstance(value, (str, dict, FeatureLayout)):
            return TypeError
        try:
            FeatureLayout.parse(value)
        except (TypeError, ValueError):
            return ValueError
        return None


LAYOUT = LayoutRule(ORDERS)


def unpack_feature(outputs: Any) -> tuple[Tensor, Optional[tuple[int, int]]]:
    """Find the feature in what a module has returned.

    Args:
        outputs (Tensor or tuple): The feature, or a tuple or list with it as
            its only tensor.

    Returns:
        tuple[Tensor, tuple[int, int] or None]: The feature, and the height
        and width of its grid if the module returns them beside it.

    Raises:
        TypeError: If there is not exactly one tensor.
    """
    if isinstance(outputs, Tensor):
        return outputs, None
    items = outputs if isinstance(outputs, (tuple, list)) else []
    tensors = [item for item in items if isinstance(item, Tensor)]
    if len(tensors) != 1:
        found = (
            f'{type(outputs).__name__} with {len(tensors)} tensors'
            if items
            else type(outputs).__name__
        )
        raise TypeError(
            'the recorded output should be one tensor, but got a '
            f'{found}; name a module that returns one'
        )
    grids = [
        tuple(item)
        for item in items
        if isinstance(item, (tuple, list))
        and len(item) == 2
        and all(isinstance(edge, int) for edge in item)
    ]
    return tensors[0], grids[0] if len(grids) == 1 else None
