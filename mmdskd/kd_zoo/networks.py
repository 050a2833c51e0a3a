import re
from typing import NamedTuple

from torch import Tensor

from mmdskd.registry import MODELS

from .families import FAMILIES, Family, Shapes, _size

COUNTER = 'num_batches_tracked'


NUM_EXAMPLES = 3


class Network(NamedTuple):
    """One of our networks that is one of the field's.

    Attributes:
        name (str): Its name, as in our configs.
        model (dict): Config of the classifier, for MMPretrain.
        shapes (dict): Shape of each tensor, by our name.
        field_names (dict): The field's name of each tensor, by ours.
        num_params (int): Number of parameters.
    """

    name: str
    model: dict
    shapes: Shapes
    field_names: dict[str, str]
    num_params: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.model['head']['num_classes']


class Misfit(NamedTuple):
    """How the tensors of a file differ from those of a network.

    Attributes:
        agreeing (int): Number of tensors that are as they should be.
        missing (list[str]): Keys that the file lacks.
        unexpected (list[str]): Keys that the network doesn't have.
        wrong (list[str]): Keys with another shape, and both shapes.
    """

    agreeing: int
    missing: list[str]
    unexpected: list[str]
    wrong: list[str]

    @property
    def size(self) -> int:
        """Number of tensors that differ."""
        return len(self.missing) + len(self.unexpected) + len(self.wrong)

    @property
    def overlap(self) -> float:
        """Share of the keys that file and network have in common, 0 to 1."""
        return (self.agreeing + len(self.wrong)) / (self.agreeing + self.size)

    def __str__(self) -> str:
        parts = []
        for rule, keys in (
            ('missing', self.missing),
            ('unexpected', self.unexpected),
            ('of another shape', self.wrong),
        ):
            if keys:
                more = ', ...' if len(keys) > NUM_EXAMPLES else ''
                parts.append(
                    f'{len(keys)} {rule} '
                    f'({", ".join(keys[:NUM_EXAMPLES])}{more})'
                )
        return f'{self.agreeing} tensors agree, but ' + ', '.join(parts)


def get_network(arch: str, num_classes: int) -> Network:
    """Get one of the field's networks by its name.

    Args:
        arch (str): Name as in the field or in our configs, such as
            "wrn_40_2" or "wrn40-2". Upper and lower case are the same.
        num_classes (int): Number of classes, >= 1.

    Returns:
        Network: The network.

    Raises:
        ValueError: If there is no such network.
    """
    return _make_network(*_find_family(arch), num_classes)


def _find_family(arch: str) -> tuple[str, Family]:
    """Find our name of a network, and its family."""
    name = arch.lower().replace('_', '-').replace('wrn-', 'wrn')
    name = name.replace('shufflev', 'shufflenetv')
    for family in FAMILIES:
        if re.fullmatch(family.pattern, name):
            return name, family
    raise ValueError(
        f'arch should be one of {_list_names()}, but got {arch!r}.'
    )


def _list_names() -> str:
    return ', '.join(family.names for family in FAMILIES)


def _make_network(name: str, family: Family, num_classes: int) -> Network:
    backbone, channels = family.configure(re.fullmatch(family.pattern, name))
    model = dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=channels,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
    module = MODELS.build(model)
    shapes = _shapes(module.state_dict())
    return Network(
        name,
        model,
        shapes,
        {key: _field_name(key, family) for key in shapes},
        sum(p.numel() for p in module.parameters()),
    )


def _shapes(state_dict: dict[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def _field_name(key: str, family: Family) -> str:
    """Translate our name of a tensor to the field's."""
    if key.startswith('head.fc.'):
        return key.replace('head.fc', family.classifier)
    key = key[len('backbone.') :]
    for pattern, replacement in family.rules:
        key = re.sub(pattern, replacement, key)
    return key


def compare(shapes: Shapes, network: Network) -> Misfit:
    """Compare the tensors of a file with those of a network.

    The counters of BN's batches are left out: PyTorch saves them only since
    version 0.4.1, and they change nothing in evaluation.

    Args:
        shapes (dict): Shape of each tensor, by the field's name.
        network (Network): What it might be.

    Returns:
        Misfit: How they differ.
    """
    expected = {
        field_name: network.shapes[key]
        for key, field_name in network.field_names.items()
        if not field_name.endswith(COUNTER)
    }
    shapes = {
        key: shape
        for key, shape in shapes.items()
        if not key.endswith(COUNTER)
    }
    missing = [key for key in expected if key not in shapes]
    wrong = [
        f'{key} is {shapes[key]} and not {shape}'
        for key, shape in expected.items()
        if shapes.get(key, shape) != shape
    ]
    return Misfit(
        agreeing=len(expected) - len(missing) - len(wrong),
        missing=missing,
        unexpected=[key for key in shapes if key not in expected],
        wrong=wrong,
    )


def identify(shapes: Shapes) -> tuple[Network, Misfit]:
    """Find the network that is nearest to the tensors of a file.

    Each family suggests one network, by what depth and width the shapes
    tell, with as many classes as its classifier has. Families whose
    classifier has the right name come first, as each one is built.

    Args:
        shapes (dict): Shape of each tensor, by the field's name.

    Returns:
        tuple[Network, Misfit]: The network, and how the tensors differ from
        its. They don't if the misfit's ``size`` is 0.
    """
    found = []
    for family in sorted(
        FAMILIES,
        key=lambda family: f'{family.classifier}.weight' not in shapes,
    ):
        network = _make_network(
            family.guess(shapes), family, _num_classes(shapes, family)
        )
        found.append((network, compare(shapes, network)))
        if not found[-1][1].size:
            break
    return max(found, key=lambda pair: pair[1].overlap)


def _num_classes(shapes: Shapes, family: Family) -> int:
    return _size(shapes, f'{family.classifier}.weight', 100)
