"""How the student of a frozen teacher is run, with or without labels."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor, nn

from mmdskd.models.losses.criterion import LABEL_ARGUMENTS
from mmdskd.models.utils.num_classes import find_num_classes
from mmdskd.utils.model import STUDENT_PREFIX

NO_LABELS = (
    'The images should have labels (gt_label) for the task loss of the '
    'student, but have none. To learn from the teacher alone, set '
    'model.calculate_student_loss=False'
)


def has_labels(data_samples: Optional[list[BaseDataElement]]) -> bool:
    """Tell whether a batch has labels, by its first sample.

    Args:
        data_samples (list[BaseDataElement], optional): Samples of the batch.

    Returns:
        bool: Whether a sample of MMPretrain has a field ``gt_...``, or one of
        another package any field.
    """
    if not data_samples:
        return False
    sample = data_samples[0]
    if isinstance(sample, DataSample):
        keys = sample.keys()
        return any(key.startswith('gt_') for key in keys)
    return not isinstance(sample, BaseDataElement) or bool(sample.keys())


def find_modes(
    has_task: bool, data_samples: Optional[list[BaseDataElement]]
) -> list[str]:
    """List the modes of a teacher's forward to try, until one works.

    On a GPU, a loss of labels that are not those of the teacher breaks the
    whole process.

    Args:
        has_task (bool): Whether the labels of the student are its own.
        data_samples (list[BaseDataElement], optional): Samples of a batch.

    Returns:
        list[str]: "loss" and "tensor", or "tensor" alone.
    """
    if has_task and has_labels(data_samples):
        return ['loss', 'tensor']
    return ['tensor']


def has_same_classes(student: nn.Module, teacher: nn.Module) -> bool:
    """Tell whether the labels of a student are those of its teacher, too.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.

    Returns:
        bool: False if both have a number of classes, and another one.
    """
    numbers = {find_num_classes(network) for network in (student, teacher)}
    return len(numbers - {None}) < 2


def get_student_layer_depth(
    student: nn.Module, param_name: str
) -> tuple[int, int]:
    """Get the depth of a parameter from the student.

    Args:
        student (nn.Module): The student.
        param_name (str): Name of a parameter of the algorithm.

    Returns:
        tuple[int, int]: The depth, and the largest depth.

    Raises:
        NotImplementedError: If the student doesn't tell.
    """
    get_layer_depth: Any = getattr(student, 'get_layer_depth', None)
    if get_layer_depth is None:
        raise NotImplementedError(
            'Layer-wise decay of the learning rate needs a student with '
            f'get_layer_depth, but {type(student).__name__} has '
            'none: leave out layer_decay_rate and the constructor of '
            'optim_wrapper'
        )
    return get_layer_depth(param_name.removeprefix(STUDENT_PREFIX))


def record_student(
    algorithm: Any,
    batch_inputs: Tensor,
    data_samples: Optional[list[BaseDataElement]] = None,
) -> dict[str, Tensor]:
    """Run the student while the recorders of the distiller observe it.

    Args:
        algorithm (FrozenTeacherDistill): The algorithm.
        batch_inputs (Tensor): Images, (N, C, H, W).
        data_samples (list[BaseDataElement], optional): Their labels.

    Returns:
        dict[str, Tensor]: The losses of the student; none without labels.

    Raises:
        ValueError: If its task loss counts, but there are no labels.
    """
    is_labelled = has_labels(data_samples)
    if not is_labelled and algorithm.calculate_student_loss:
        raise ValueError(NO_LABELS)
    distiller = algorithm.distiller
    distiller.set_deliveries_override(True)
    with (
        distiller.student_recorders,
        distiller.deliveries,
        torch.set_grad_enabled(
            torch.is_grad_enabled()
            and (
                algorithm.student_trainable or algorithm.calculate_student_loss
            )
        ),
    ):
        losses = algorithm.student(
            batch_inputs,
            data_samples,
            mode='loss' if is_labelled else 'tensor',
        )
    return losses if is_labelled else {}


@contextmanager
def without_labels(distiller: ConfigurableDistiller) -> Iterator[None]:
    """Leave labels that a loss can do without out of the mappings.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller.

    Yields:
        None: Nothing.
    """
    mappings = distiller.loss_forward_mappings
    distiller.loss_forward_mappings = {
        name: {
            argument: record
            for argument, record in mapping.items()
            if argument not in LABEL_ARGUMENTS
            or not _is_optional(distiller.distill_losses[name], argument)
        }
        for name, mapping in mappings.items()
    }
    try:
        yield
    finally:
        distiller.loss_forward_mappings = mappings


def _is_optional(loss: nn.Module, argument: str) -> bool:
    """Whether ``forward`` of a loss has a default for an argument."""
    parameters = inspect.signature(loss.forward).parameters
    parameter = parameters.get(argument)
    return parameter is not None and parameter.default is not parameter.empty
