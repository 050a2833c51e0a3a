"""Where the branches of a student and a teacher attach."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Optional, Union

from torch import nn

from mmdskd.models.utils.num_classes import advise_other_classes
from mmdskd.utils.text import shorten

from .feature import Feature
from .network_outline import NetworkOutline
from .recorded_forward import find_frozen


class BranchPlan(NamedTuple):
    """What DSKD needs to know of a student and a teacher.

    Attributes:
        student (NetworkOutline): The student.
        teacher (NetworkOutline): The teacher.
        branches (list[Feature]): The student's shallow features that are
            supervised, from shallow to deep.
        target (Feature): The teacher's feature that supervises them.
        frozen (Collection[str]): Names of the student's modules that no
            training changes. Defaults to ().
    """

    student: NetworkOutline
    teacher: NetworkOutline
    branches: list[Feature]
    target: Feature
    frozen: Collection[str] = ()

    @property
    def sources(self) -> list[str]:
        """list[str]: ``sources`` of ``mmdskd.MultiModuleOutputs``."""
        return [feature.name for feature in self.branches]

    @property
    def connector(self) -> dict[str, Any]:
        """dict: Arguments of :class:`~mmdskd.models.DSKDConnector`."""
        return connector_arguments(
            self.branches, self.target, self.teacher.num_classes
        )


def infer_branches(
    student: nn.Module,
    teacher: nn.Module,
    image_shape: tuple[int, int, int],
    branches: Union[int, Sequence[str], None] = None,
    teacher_feature: Optional[str] = None,
    teacher_image_shape: Optional[tuple[int, int, int]] = None,
) -> BranchPlan:
    """Find out by a forward of each where the branches of DSKD attach.

    Args:
        student (nn.Module): The student, a classifier.
        teacher (nn.Module): The teacher, a classifier. For self-distillation
            it is the student itself.
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image, as the student gets it.
        branches (int or Sequence[str], optional): Number of branches, or
            names of the student's modules. None means the ends of its
            stages, see :meth:`NetworkOutline.find_branches`. Defaults to
            None.
        teacher_feature (str, optional): Name of the teacher's module whose
            output supervises the branches. None means its last feature
            before pooling. Defaults to None.
        teacher_image_shape (tuple[int, int, int], optional): Shape of an
            image as the teacher gets it. None means ``image_shape``. Defaults
            to None.

    Returns:
        BranchPlan: What was found.

    Raises:
        RuntimeError: If one of them does not run on such an image.
        KeyError: If a name is not that of a module.
        ValueError: If one of them is no classifier, the numbers of classes
            differ, a module gives no feature, or what is named, or all that
            can be chosen, is frozen.

    Examples:
        >>> from mmdskd.models import DSKDConnector
        >>> from mmdskd.utils import infer_branches
        >>> from mmpretrain import get_model
        >>> plan = infer_branches(
        ...     get_model('resnet18_8xb16_cifar10'),
        ...     get_model('resnet34_8xb16_cifar10'), (3, 32, 32))
        >>> plan.sources
        ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
        >>> heads = DSKDConnector(**plan.connector)
    """
    outline = NetworkOutline(student, image_shape, 'the student')
    outline_T = (
        outline
        if teacher is student
        else NetworkOutline(
            teacher, teacher_image_shape or image_shape, 'the teacher'
        )
    )
    if outline.num_classes != outline_T.num_classes:
        raise ValueError(
            'Student and teacher should have the same classes, but the '
            f'student has {outline.num_classes} and the teacher '
            f'{outline_T.num_classes}. If one is still to be trained, set '
            'num_classes of its head. '
            + advise_other_classes(outline.num_classes)
        )
    frozen = find_frozen(student, image_shape)
    if branches is None or isinstance(branches, int):
        features = outline.find_branches(branches, without=frozen)
    else:
        features = [outline.feature(name) for name in branches]
        for name in branches:
            if name in frozen:
                raise ValueError(
                    f'{name!r} of the student should learn, but it is frozen, '
                    'so that a head on it teaches nothing: set another '
                    'frozen_stages of the backbone, or name another module'
                )
    if teacher_feature is not None:
        target = outline_T.feature(teacher_feature)
    elif outline_T.last is not None:
        target = outline_T.last
    else:
        raise ValueError(
            'The last feature of the teacher, a '
            f'{type(teacher).__name__}, is not clear, as it hands on several '
            'ones: name the module by teacher_feature; choose from '
            f'{shorten([feature.name for feature in outline_T.layers], 30)}'
        )
    return BranchPlan(outline, outline_T, features, target, frozen)


def connector_arguments(
    branches: Sequence[Feature],
    target: Feature,
    num_classes: Optional[int] = None,
) -> dict[str, Any]:
    """Put together what :class:`~mmdskd.models.DSKDConnector` has to know.

    Args:
        branches (Sequence[Feature]): The student's features.
        target (Feature): The teacher's feature.
        num_classes (int, optional): Number of classes. Defaults to None.

    Returns:
        dict: Its arguments. ``layouts`` are left out where all features are
        maps (N, C, H, W), and in place of ``strides`` there is an
        ``out_size`` if a size is no multiple of the teacher's.
    """
    arguments: dict[str, Any] = dict(
        in_channels=[feature.channels for feature in branches]
    )
    strides = [find_stride(feature.grid, target.grid) for feature in branches]
    if None in strides:
        arguments['out_size'] = target.grid
    else:
        arguments['strides'] = strides
    layouts = [feature.layout.config for feature in branches]
    if any(layout != layouts[0] for layout in layouts):
        arguments['layouts'] = layouts
    elif layouts[0] != 'NCHW':
        arguments['layouts'] = layouts[0]
    return dict(
        arguments, out_channels=target.channels, num_classes=num_classes
    )


def find_stride(
    grid: tuple[int, int], target: tuple[int, int]
) -> Union[int, float, None]:
    """Find the stride of a head between two sizes.

    Args:
        grid (tuple[int, int]): Height and width of the student's feature.
        target (tuple[int, int]): Those of the teacher's feature.

    Returns:
        int or float, optional: n, where a size is a multiple of the teacher's
        up to rounding, or 1/n the other way round; or None.
    """
    if grid[0] >= target[0]:
        stride = math.ceil(grid[0] / target[0])
        sizes = tuple(math.ceil(edge / stride) for edge in grid)
        return stride if sizes == target else None
    times = target[0] // grid[0]
    return 1 / times if tuple(n * times for n in grid) == target else None
