"""Records and deliveries of a teacher in MMRazor's distillers."""

from collections.abc import Iterator
from typing import Any

from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor, nn


def find_held(distiller: ConfigurableDistiller) -> list[Any]:
    """Find the containers of what was recorded and delivered.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller.

    Returns:
        list: The buffer (a list) of each recorder of the teacher, and the
        queue of each delivery.
    """
    return [
        recorder.data_buffer
        for recorder in distiller.teacher_recorders.recorders.values()
    ] + [
        delivery.data_queue
        for delivery in distiller.deliveries.deliveries.values()
    ]


def find_sources(distiller: ConfigurableDistiller) -> list[str]:
    """List the names of what the teacher's recorders observe.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller.

    Returns:
        list[str]: Names of modules, parameters, functions or methods.
    """
    return [
        source
        for recorder in distiller.teacher_recorders.recorders.values()
        for source in getattr(recorder, 'sources', [recorder.source])
    ]


def check_recorded(distiller: ConfigurableDistiller) -> None:
    """Check that the teacher's recorders hold what the losses read.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller, after a
            forward of the teacher.

    Raises:
        ValueError: If a recorder holds fewer records than that.
    """
    recorders = distiller.teacher_recorders.recorders
    counts = dict.fromkeys(recorders, 1)
    for mapping in distiller.loss_forward_mappings.values():
        for record in mapping.values():
            if not record['from_student']:
                name = record['recorder']
                counts[name] = max(
                    counts[name], record.get('record_idx', 0) + 1
                )
    for name, recorder in recorders.items():
        if len(recorder.data_buffer) < counts[name]:
            raise ValueError(
                f'teacher_recorders: {name!r} should record '
                f'{recorder.source!r} {counts[name]} time(s) in a forward '
                f'of the teacher, but got {len(recorder.data_buffer)} '
                'records'
            )


def release_records(distiller: ConfigurableDistiller) -> None:
    """Let go of what the recorders of both networks hold.

    Args:
        distiller (ConfigurableDistiller): MMRazor's distiller.
    """
    for manager in (distiller.student_recorders, distiller.teacher_recorders):
        for recorder in manager.recorders.values():
            recorder.reset_data_buffer()


def find_nested_tensors(data: Any) -> Iterator[Tensor]:
    """Find the tensors in nested dicts, lists and tuples.

    Args:
        data (Any): What a container of :func:`find_held` holds.

    Yields:
        Tensor: Each tensor, in order.
    """
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, dict):
        yield from find_nested_tensors(list(data.values()))
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from find_nested_tensors(item)


def is_activation(data: Any) -> bool:
    """Tell an activation from parameters, indices and what is no tensor.

    Args:
        data (Any): An item that was recorded.

    Returns:
        bool: Whether it is a tensor of floating point, and no parameter.
    """
    return (
        isinstance(data, Tensor)
        and not isinstance(data, nn.Parameter)
        and data.is_floating_point()
    )
