"""The sequence of layers, blocks or stages that makes up a network."""

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from .feature import Feature

# What hands on its input, at least in eval mode.
PASSING = (nn.Identity, nn.Dropout)
# No layer but a pooling divides the size by more.
MAX_STRIDE = 4
# As many features, before pooling, make a sequence.
MIN_LAYERS = 3


class LayerSequence:
    """Where a network is a sequence of features, seen in one forward of it.

    Nothing is known by name but ``backbone``, to which the classifiers of
    MMPretrain give the part with the layers. The search goes down from there
    until at least three modules give a feature. Of these, a ``Sequential``
    is replaced by its modules if it is the trunk of the network: if the
    blocks in it are of several sizes, or if there is hardly another block,
    as in a vision transformer of timm.

    Args:
        modules (Mapping[str, nn.Module]): All modules by their names.
        order (Sequence[str]): Names of those that run, in the order in which
            they have finished.
        features (Mapping[str, Feature]): The features by the names of the
            modules.

    Attributes:
        level (list[str]): Names of all modules that run on that level.
        layers (list[Feature]): The features, from shallow to deep.

    Raises:
        ValueError: If there is no such sequence.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        order: Sequence[str],
        features: Mapping[str, Feature],
    ) -> None:
        self._modules = modules
        self._order = {name: index for index, name in enumerate(order)}
        self._features = features
        self.level = self._open_trunk(self._find_level())
        self.layers = _without_class_tokens(self._layers(self.level))

    @property
    def after(self) -> list[str]:
        """list[str]: Names of the modules that run after the level.

        They are on it or above it: what is within another module, such as
        the projections of an attention, is not handed on. A ``Sequential``
        hands on from each of its modules to the next.
        """
        above = {''}
        for name in self.level:
            while '.' in name:
                name = name.rpartition('.')[0]
                above.add(name)

        def is_handed_on(name: str) -> bool:
            parent = name.rpartition('.')[0]
            return parent in above or (
                isinstance(self._modules[parent], nn.Sequential)
                and is_handed_on(parent)
            )

        last = self._order[self.level[-1]]
        return [
            name
            for name, index in self._order.items()
            if index > last and name not in above and is_handed_on(name)
        ]

    def _find_level(self) -> list[str]:
        """Go down to where the network is a sequence of features."""
        level = self._children(
            'backbone' if 'backbone' in self._modules else ''
        )
        while level:
            layers = self._layers(level)
            if sum(not layer.is_pooled for layer in layers) >= MIN_LAYERS:
                return level
            level = [child for name in level for child in self._children(name)]
        raise ValueError(
            'should be a sequence of at least three modules with features '
            '(N, C, H, W), (N, H, W, C) or (N, L, C), but none was found in it'
        )

    def _open_trunk(self, level: list[str]) -> list[str]:
        """Replace each ``Sequential`` that is no stage by its modules."""
        while True:
            layers = _without_class_tokens(self._layers(level))
            few = len(_blocks(layers)) < MIN_LAYERS
            trunks = [name for name in level if self._is_trunk(name, few)]
            if not trunks:
                return level
            level = [
                child
                for name in level
                for child in (
                    self._children(name) if name in trunks else [name]
                )
            ]

    def _is_trunk(self, name: str, few: bool) -> bool:
        """Tell whether a module is the trunk of the network, not a stage.

        Args:
            name (str): Its name.
            few (bool): Whether there are only few blocks on its level.
        """
        if not isinstance(self._modules[name], nn.Sequential):
            return False
        blocks = _blocks(self._layers(self._children(name)))
        return len(blocks) > 1 and (
            few or len({block.grid for block in blocks}) > 1
        )

    def _layers(self, names: Iterable[str]) -> list[Feature]:
        """Features of those modules that do more than to hand on."""
        return [
            self._features[name]
            for name in names
            if name in self._features
            and not isinstance(self._modules[name], PASSING)
        ]

    def _children(self, name: str) -> list[str]:
        """Names of the children that run, in the order of running; those of
        a container that is only a list stand for it."""
        names = []
        for child, _ in self._modules[name].named_children():
            child = f'{name}.{child}' if name else child
            if child in self._order:
                names.append(child)
            # A module that is in two places has one name.
            elif child in self._modules:
                names += self._children(child)
        return sorted(set(names), key=self._order.__getitem__)


def without_pooled(features: Sequence[Feature]) -> Sequence[Feature]:
    """Leave out a pooling to a single position, and what follows it.

    Such as the last convolution of MobileNetV3, or that of a VGG of timm,
    which pools by a kernel of the size of its input.

    Args:
        features (Sequence[Feature]): The features, from shallow to deep.

    Returns:
        Sequence[Feature]: Those before it, and at least the first one.
    """
    for index, (before, feature) in enumerate(zip(features, features[1:]), 1):
        if feature.is_pooled or (
            feature.grid == (1, 1) and min(before.grid) > MAX_STRIDE
        ):
            return features[:index]
    return features


def without_scores(
    features: Sequence[Feature], num_classes: int
) -> Sequence[Feature]:
    """Leave out the class scores of each position at the end of a sequence.

    Such as those of SqueezeNet, which a convolution makes before pooling.

    Args:
        features (Sequence[Feature]): The features, from shallow to deep.
        num_classes (int): Number of classes.

    Returns:
        Sequence[Feature]: Those before a last single layer with as many
        channels as there are classes.
    """
    for index in range(len(features) - 1, 0, -1):
        feature = features[index]
        if feature.channels != num_classes or feature.num_layers > 1:
            break
        if feature.num_layers == 1:
            return features[:index]
    return features


def _blocks(layers: Iterable[Feature]) -> list[Feature]:
    return [layer for layer in layers if layer.num_layers > 1]


def _without_class_tokens(layers: list[Feature]) -> list[Feature]:
    """Leave out what is of one position within what is of several.

    Such as the last blocks of CaiT, which return the class token alone.
    """
    return [
        layer
        for index, layer in enumerate(layers)
        if layer.grid != (1, 1)
        or all(later.grid == (1, 1) for later in layers[index:])
    ]
