"""Where the features of a classifier are, found by running it once."""

import difflib
import math
from collections.abc import Iterator
from typing import Any, Optional

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdskd.models.utils.feature_layout import FeatureLayout, unpack_feature
from mmdskd.utils.text import shorten

from .feature import MAX_EXTRA_TOKENS, Feature, _is_pooled
from .recorded_forward import BATCH_SIZE, _as_recorded, _tensors

# What hands on its input, at least in eval mode.
PASSING = (nn.Identity, nn.Dropout)


class NetworkOutline:
    """What one forward of a classifier shows of its structure.

    The network is run without gradients in eval mode, and is left as it was.

    Args:
        network (nn.Module): The classifier, of MMPretrain or any other that
            returns logits (N, K).
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image.
        name (str): What messages call the network. Defaults to "network".

    Attributes:
        network (nn.Module): The classifier.
        name (str): What messages call it.
        logits (str, optional): Name of the innermost module that returns the
            logits. None if no module does.
        logits_like (list[str]): Names of all modules that return (N, K).
        num_classes (int): Number of classes K.
        trunk (list[Feature]): The sequence of layers, blocks or stages that
            make up the network, from shallow to deep.
        last (Feature, optional): Its last feature before pooling. None if
            what comes after it returns several features, as HRNet does.

    Raises:
        RuntimeError: If the network does not run on such an image.
        ValueError: If it is no classifier, or has no features with positions.
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, int, int],
        name: str = 'network',
    ) -> None:
        self.network = network
        self.name = name
        self.image_shape = tuple(image_shape)
        self._modules = dict(network.named_modules())
        # Outputs by module in the order in which the modules have finished;
        # None for one that has run more than once.
        self._outputs: dict[str, Any] = dict()
        self._changed: list[str] = []
        logits = self._run()
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            found = (
                f'a tensor of shape {tuple(logits.shape)}'
                if isinstance(logits, Tensor)
                else f'a {type(logits).__name__}'
            )
            raise ValueError(
                f'{name} should be a classifier, which returns logits (N, K), '
                f'but {type(network).__name__} returns {found}'
            )
        self.num_classes = logits.size(1)
        self._find_logits(logits)
        self._grids = [
            grid for _, grid in self._unpacked() if grid is not None
        ]
        self._features = {
            module_name: feature
            for module_name, outputs in self._outputs.items()
            for feature in [self._to_feature(module_name, outputs)]
            if feature is not None
        }
        self._level, self.trunk = self._find_trunk()
        self.last = self._find_last()
        # Only their shapes were of interest.
        self._outputs = dict.fromkeys(self._outputs)

    @property
    def module_names(self) -> list[str]:
        """list[str]: Names of all modules."""
        return list(self._modules)

    def feature(self, name: str) -> Feature:
        """Look up the feature of a module by its name.

        Args:
            name (str): Name of any module of the network.

        Returns:
            Feature: The feature.

        Raises:
            KeyError: If there is no such module.
            ValueError: If it does not run exactly once, gives no feature
                with positions, or one that is changed afterwards.
        """
        if name in self._features:
            return self._features[name]
        choices = [feature.name for feature in self.trunk]
        if name not in self._modules or name == '':
            near = difflib.get_close_matches(name, self._modules, n=3)
            raise KeyError(
                f'{name!r} is not a module of {self.name}; '
                f'did you mean {shorten(near or choices)}?'
            )
        if name in self._changed:
            problem = 'its output is changed in place after it was returned'
        elif name not in self._outputs:
            problem = 'it does not run in the forward'
        else:
            problem = (
                'it runs more than once, or its output is not one '
                'tensor of maps (N, C, H, W) or tokens (N, L, C)'
            )
        raise ValueError(
            f'{name!r} of {self.name} gives no feature for a branch: '
            f'{problem}; choose from {shorten(choices, 30)}'
        )

    def find_branches(
        self, number: Optional[int] = None, most: int = 3
    ) -> list[Feature]:
        """Choose the shallow layers.

        These are the ends of the stages, where a stage is what keeps the
        size, but of the stem, which is a single layer, and of the last one.
        Networks that keep one size throughout are divided evenly by blocks.

        Args:
            number (int, optional): Number of branches: the deepest stages,
                or if there are not so many, blocks at even distances. None
                means all stages, or ``most``. Defaults to None.
            most (int): The most that are chosen by themselves. Defaults to 3.

        Returns:
            list[Feature]: The features, from shallow to deep.

        Raises:
            ValueError: If the network has no blocks, or not so many.
        """
        stages = self._stage_ends()
        if stages and number is None:
            return stages[-most:]
        if number is not None and 1 <= number <= len(stages):
            return stages[-number:]
        # The last block is no shallow layer.
        blocks = [feature for feature in self.trunk if feature.num_layers > 1]
        # Without blocks, at least layers: norms alone are around blocks whose
        # outputs are no features, as in RevViT.
        blocks = (blocks or [f for f in self.trunk if f.num_layers])[:-1]
        if not blocks:
            raise ValueError(
                f'{self.name}, a {type(self.network).__name__}, should have '
                'blocks or stages that each return one feature, but none was '
                'found in it: name the modules of the branches; choose from '
                f'{shorten(list(self._features), 30)}'
            )
        if number is None:
            number = min(most, len(blocks))
        if not 1 <= number <= len(blocks):
            raise ValueError(
                f'The number of branches should be 1 to {len(blocks)} for '
                f'{self.name}, but got {number}; its shallow layers are '
                f'{shorten([feature.name for feature in blocks], 30)}'
            )
        step = (len(blocks) + 1) / (number + 1)
        return [blocks[round(step * (i + 1)) - 1] for i in range(number)]

    def _stage_ends(self) -> list[Feature]:
        """Last feature of each size, without stem and last stage."""
        stages: list[list[Feature]] = []
        for feature in self.trunk:
            if not stages or stages[-1][-1].grid != feature.grid:
                stages.append([])
            stages[-1].append(feature)
        last = next(
            (i for i, stage in enumerate(stages) if self.last in stage),
            len(stages) - 1,
        )
        return [
            [f for f in stage if f.num_layers][-1]
            for stage in stages[:last]
            if sum(feature.num_layers for feature in stage) > 1
        ]

    def _run(self) -> Any:
        """Run an image, and keep what all modules return."""
        parameter = next(self.network.parameters(), torch.zeros(()))
        image = torch.rand(
            BATCH_SIZE,
            *self.image_shape,
            generator=torch.Generator().manual_seed(0),
        ).to(parameter)
        kwargs = (
            dict(mode='tensor') if isinstance(self.network, BaseModel) else {}
        )
        versions: dict[str, list[int]] = dict()

        def keep(name: str, outputs: Any) -> None:
            again = name in self._outputs
            self._outputs[name] = None if again else outputs
            versions[name] = [t._version for t in _tensors(outputs)]

        handles = [
            module.register_forward_hook(
                lambda module, inputs, outputs, name=name: keep(name, outputs)
            )
            for name, module in self._modules.items()
            if name
        ]
        try:
            with torch.no_grad(), _as_recorded(self.network):
                logits = self.network(image, **kwargs)
        # Whatever it is that does not take such an image.
        except Exception as error:
            raise RuntimeError(
                f'{self.name}, a {type(self.network).__name__}, does not run '
                f'on images of shape {self.image_shape} '
                f'({type(error).__name__}: {error}). Is this the shape of its '
                'images?'
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        self._changed = [
            name
            for name, outputs in self._outputs.items()
            if outputs is not None
            and [t._version for t in _tensors(outputs)] != versions[name]
        ]
        return logits

    def _unpacked(self) -> Iterator[tuple[Tensor, Optional[tuple]]]:
        for outputs in self._outputs.values():
            try:
                yield unpack_feature(outputs)
            except TypeError:
                continue

    def _find_logits(self, logits: Tensor) -> None:
        self.logits_like = [
            name
            for name, outputs in self._outputs.items()
            if isinstance(outputs, Tensor) and outputs.shape == logits.shape
        ]
        # They finish from the inside out.
        self.logits = next(
            (
                name
                for name in self.logits_like
                if self._outputs[name].data_ptr() == logits.data_ptr()
            ),
            None,
        )

    def _to_feature(self, name: str, outputs: Any) -> Optional[Feature]:
        """Find channels and grid of an output, if it is a feature."""
        try:
            tensor, grid = unpack_feature(outputs)
        except TypeError:
            return None
        if (
            name in self._changed
            or tensor.dim() not in (3, 4)
            or tensor.size(0) != BATCH_SIZE
            # Pooled tokens, (N, C, 1), are no C tokens of one channel.
            or (tensor.dim() == 3 and tensor.size(2) == 1)
            or not tensor.is_floating_point()
        ):
            return None
        if tensor.dim() == 4:
            order = 'NCHW' if self._fits(tensor.shape[2:]) else 'NHWC'
            layout = FeatureLayout(order)
            if order == 'NHWC' and not self._fits(tensor.shape[1:3]):
                return None
        else:
            found = self._find_tokens(tensor.size(1), grid)
            if found is None:
                return None
            layout = FeatureLayout('NLC', *found)
        shape = layout.to_map(outputs).shape
        layers = sum(
            isinstance(module, (nn.Conv2d, nn.Linear))
            for module in self._modules[name].modules()
        )
        return Feature(name, layout, shape[1], tuple(shape[2:]), layers)

    def _fits(self, grid: tuple[int, int]) -> bool:
        """Whether two edges are those of a downsampled image."""
        height, width = self.image_shape[1:]
        stride = max(height / grid[0], width / grid[1])
        return all(
            math.floor(edge / stride) - 1
            <= size
            <= math.ceil(edge / stride) + 1
            for edge, size in zip((height, width), grid)
        ) and (height != width or grid[0] == grid[1])

    def _find_tokens(
        self, count: int, grid: Optional[tuple[int, int]]
    ) -> Optional[tuple[int, Optional[tuple[int, int]]]]:
        """Tell tokens with a position from others.

        Returns:
            tuple: Number of extra tokens, and the grid, or None for a square
            or one that the module returns; or None if that fits no number.
        """
        if grid is not None:
            return (0, None) if math.prod(grid) == count else None
        for extra in range(min(MAX_EXTRA_TOKENS + 1, count)):
            known = next(
                (g for g in self._grids if math.prod(g) == count - extra), None
            )
            if known is not None:
                return extra, None if known[0] == known[1] else known
        for extra in range(min(MAX_EXTRA_TOKENS + 1, count)):
            edge = math.isqrt(count - extra)
            if edge**2 == count - extra:
                return extra, None
        return None

    def _find_trunk(self) -> tuple[list[str], list[Feature]]:
        """Go down to where the network is a sequence of features.

        Returns:
            tuple: Names of all modules that run there, and the features.
        """
        level = self._children(
            'backbone' if 'backbone' in self._modules else ''
        )
        while level:
            trunk = [
                self._features[name]
                for name in level
                if name in self._features
                and not isinstance(self._modules[name], PASSING)
            ]
            if sum(not _is_pooled(feature) for feature in trunk) >= 3:
                return level, trunk
            level = [child for name in level for child in self._children(name)]
        raise ValueError(
            f'{self.name}, a {type(self.network).__name__}, should be a '
            'sequence of at least three modules with features (N, C, H, W), '
            '(N, H, W, C) or (N, L, C), but none was found in it'
        )

    def _children(self, name: str) -> list[str]:
        """Names of the children that run, in the order of running; those of
        a container that is only a list stand for it."""
        names = []
        for child, _ in self._modules[name].named_children():
            child = f'{name}.{child}' if name else child
            if child in self._outputs:
                names.append(child)
            # A module that is in two places has one name.
            elif child in self._modules:
                names += self._children(child)
        order = list(self._outputs)
        return sorted(set(names), key=order.index)

    def _find_last(self) -> Optional[Feature]:
        """Last feature that is not pooled."""
        last = next(
            feature
            for feature in reversed(self.trunk)
            if not _is_pooled(feature) or feature is self.trunk[0]
        )
        later = self._level[self._level.index(last.name) + 1 :]
        if any(len(_tensors(self._outputs[name])) > 1 for name in later):
            return None
        return last
