"""Where the features of a classifier are, found by running it once."""

import difflib
from collections.abc import Collection
from typing import Optional

from torch import Tensor, nn

from mmdskd.utils.text import shorten

from .feature import Feature, read_features
from .layer_sequence import LayerSequence, without_pooled, without_scores
from .recorded_forward import RecordedForward, find_tensors, record_forward


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
        layers (list[Feature]): The sequence of layers, blocks or stages that
            make up the network, from shallow to deep.
        last (Feature, optional): Its last feature before pooling, of the
            backbone, or of a neck after it. None if what comes after it
            returns several features, of which none is made.

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
        self._modules = dict(network.named_modules())
        run = record_forward(network, image_shape, name)
        logits = run.output
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            found = (
                f'a tensor of shape {tuple(logits.shape)}'
                if isinstance(logits, Tensor)
                else f'a {type(logits).__name__}'
            )
            hint = (
                ', one of each token: of timm, use TimmClassifier in place of '
                'TIMMBackbone'
                if isinstance(logits, Tensor) and logits.dim() == 3
                else ''
            )
            raise ValueError(
                f'{name} should be a classifier, which returns logits (N, K), '
                f'but {type(network).__name__} returns {found}{hint}'
            )
        self.num_classes = logits.size(1)
        self.logits_like = [
            module
            for module, outputs in run.outputs.items()
            if isinstance(outputs, Tensor) and outputs.shape == logits.shape
        ]
        # They finish from the inside out.
        self.logits = next(
            (
                module
                for module in self.logits_like
                if run.outputs[module].data_ptr() == logits.data_ptr()
            ),
            None,
        )
        # Only their names are kept: the outputs are large.
        self._order = list(run.outputs)
        self._changed = run.changed
        self._features = read_features(run, self._modules, image_shape[1:])
        try:
            self._sequence = LayerSequence(
                self._modules, self._order, self._features
            )
        except ValueError as error:
            raise ValueError(
                f'{name}, a {type(network).__name__}, {error}'
            ) from None
        self.layers = self._sequence.layers
        self.last = self._find_last(run)

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
        choices = [feature.name for feature in self.layers]
        if name not in self._modules or name == '':
            near = difflib.get_close_matches(name, self._modules, n=3)
            raise KeyError(
                f'{name!r} is not a module of {self.name}; '
                f'did you mean {shorten(near or choices)}?'
            )
        if name in self._changed:
            problem = 'its output is changed in place after it was returned'
        elif name not in self._order:
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
        self,
        number: Optional[int] = None,
        most: int = 3,
        without: Collection[str] = (),
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
            without (Collection[str]): Names of frozen modules, which are not
                chosen. Defaults to ().

        Returns:
            list[Feature]: The features, from shallow to deep.

        Raises:
            ValueError: If the network has no blocks, or not so many.
        """
        stages = [f for f in self._stage_ends() if f.name not in without]
        if stages and number is None:
            return stages[-most:]
        if number is not None and 1 <= number <= len(stages):
            return stages[-number:]
        # The last block is no shallow layer.
        blocks = [feature for feature in self.layers if feature.num_layers > 1]
        # Without blocks, at least layers: norms alone are around blocks whose
        # outputs are no features, as in RevViT.
        blocks = (blocks or [f for f in self.layers if f.num_layers])[:-1]
        if blocks and all(feature.name in without for feature in blocks):
            raise ValueError(
                f'{self.name} should have a shallow layer that learns, but '
                'all of them are frozen: set another frozen_stages of its '
                f'backbone, or name modules that follow; frozen are '
                f'{shorten([feature.name for feature in blocks])}'
            )
        blocks = [feature for feature in blocks if feature.name not in without]
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
        for feature in self.layers:
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

    def _find_last(self, run: RecordedForward) -> Optional[Feature]:
        """Last feature that is not pooled.

        It is the last layer, unless a module after them makes one feature of
        theirs, as the neck of HRNet does.
        """
        layers = without_scores(without_pooled(self.layers), self.num_classes)
        later = [
            self._features[name]
            for name in self._sequence.after
            if name in self._features
        ]
        unpooled = without_pooled([*self.layers, *later])
        after = [
            feature
            for feature in without_scores(unpooled, self.num_classes)
            if feature in later
            # Pooling to several positions has no weights.
            and any(True for _ in self._modules[feature.name].parameters())
        ]
        if after:
            return after[-1]
        last = layers[-1]
        level = self._sequence.level
        several = any(
            len(find_tensors(run.outputs[name])) > 1
            for name in level[level.index(last.name) + 1 :]
        )
        return None if several else last
