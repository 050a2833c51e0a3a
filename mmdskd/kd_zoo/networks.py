"""Networks of the KD zoo: by their names, and by the shapes in a file."""

import re
from pathlib import Path
from typing import NamedTuple, Optional

from torch import Tensor

from mmdskd.registry import MODELS

from .families import FAMILIES, Family, Shapes, num_outputs

COUNTER = 'num_batches_tracked'
NUM_EXAMPLES = 3  # of the keys in a message
# The data sets of our configs, by the number of their classes.
DATASETS = {100: 'cifar100', 200: 'tiny_imagenet'}


class Network(NamedTuple):
    """One of our networks that is also in the KD zoo.

    Attributes:
        name (str): Its name, as in our configs.
        model (dict): Config of the classifier, for MMPretrain.
        shapes (dict): Shape of each tensor, by our name.
        zoo_names (dict): Name of each tensor in the zoo, by ours.
        num_params (int): Number of parameters.
    """

    name: str
    model: dict
    shapes: Shapes
    zoo_names: dict[str, str]
    num_params: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.model['head']['num_classes']


class Mismatch(NamedTuple):
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
    """Get a network of the KD zoo by its name.

    Args:
        arch (str): Name as in the zoo or in our configs, such as
            "wrn_40_2" or "wrn40-2". Upper and lower case are the same.
        num_classes (int): Number of classes, >= 1.

    Returns:
        Network: The network.

    Raises:
        ValueError: If there is no such network.
    """
    return make_network(*find_family(arch), num_classes)


def find_family(arch: str) -> tuple[str, Family]:
    """Find our name of a network, and its family.

    Args:
        arch (str): Name as for :func:`get_network`.

    Returns:
        tuple[str, Family]: The name and the family.

    Raises:
        ValueError: If there is no such network.
    """
    name = arch.lower().replace('_', '-').replace('wrn-', 'wrn')
    name = name.replace('shufflev', 'shufflenetv')
    for family in FAMILIES:
        if re.fullmatch(family.pattern, name):
            return name, family
    raise ValueError(
        f'arch should be one of {list_names()}, but got {arch!r}.'
    )


def list_names() -> str:
    """List the names of all networks, for messages."""
    return ', '.join(family.names for family in FAMILIES)


def make_network(name: str, family: Family, num_classes: int) -> Network:
    """Describe a network.

    Args:
        name (str): Our name of the network.
        family (Family): Its family.
        num_classes (int): Number of classes, >= 1.

    Returns:
        Network: The network.

    Raises:
        ValueError: If the family has no network of this name or depth.
    """
    match = re.fullmatch(family.pattern, name)
    if match is None:
        raise ValueError(
            f'name should be one of {family.names}, but got {name!r}.'
        )
    backbone, channels = family.configure(match)
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
    shapes = shapes_of(module.state_dict())
    return Network(
        name,
        model,
        shapes,
        {key: to_zoo_name(key, family) for key in shapes},
        sum(p.numel() for p in module.parameters()),
    )


def shapes_of(state_dict: dict[str, Tensor]) -> Shapes:
    """Get the shape of each tensor, by its name."""
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def to_zoo_name(key: str, family: Family) -> str:
    """Translate our name of a tensor to the zoo's."""
    if key.startswith('head.fc.'):
        return key.replace('head.fc', family.classifier)
    key = key[len('backbone.') :]
    for pattern, replacement in family.rules:
        key = re.sub(pattern, replacement, key)
    return key


def compare(shapes: Shapes, network: Network) -> Mismatch:
    """Compare the tensors of a file with those of a network.

    The counters of BN's batches are left out: PyTorch saves them only since
    version 0.4.1, and they change nothing in evaluation.

    Args:
        shapes (dict): Shape of each tensor, by the zoo's name.
        network (Network): What it might be.

    Returns:
        Mismatch: How they differ.
    """
    expected = {
        zoo_name: network.shapes[key]
        for key, zoo_name in network.zoo_names.items()
        if not zoo_name.endswith(COUNTER)
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
    return Mismatch(
        agreeing=len(expected) - len(missing) - len(wrong),
        missing=missing,
        unexpected=[key for key in shapes if key not in expected],
        wrong=wrong,
    )


def identify(shapes: Shapes) -> tuple[Network, Mismatch]:
    """Find the network that is nearest to the tensors of a file.

    Each family suggests one network, by what depth and width the shapes
    tell, with as many classes as its classifier has. Families whose
    classifier has the right name come first, as each one is built.

    Args:
        shapes (dict): Shape of each tensor, by the zoo's name.

    Returns:
        tuple[Network, Mismatch]: The network, and how the tensors differ from
        its. They don't if the mismatch's ``size`` is 0.
    """
    found = []
    for family in sorted(
        FAMILIES,
        key=lambda family: f'{family.classifier}.weight' not in shapes,
    ):
        network = make_network(
            family.guess(shapes), family, count_classes(shapes, family)
        )
        found.append((network, compare(shapes, network)))
        if not found[-1][1].size:
            break
    return max(found, key=lambda pair: pair[1].overlap)


def count_classes(shapes: Shapes, family: Family) -> int:
    """Count the classes of a classifier, 100 if the family's is not there."""
    return num_outputs(shapes, f'{family.classifier}.weight', 100)


def find_config(network: Network, folder: Path) -> Optional[Path]:
    """Find the config that trains a network by itself.

    Args:
        network (Network): The network.
        folder (Path): Folder with a folder of configs per data set.

    Returns:
        Path, optional: The config, or None if there is none for this network
        and number of classes.
    """
    dataset = DATASETS.get(network.num_classes)
    if dataset is None:
        return None
    return next((folder / dataset).glob(f'{network.name}_*.py'), None)
