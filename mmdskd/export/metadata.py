"""What a user of an exported student needs to know, within the file."""

import json
import os.path as osp
from typing import Any, Optional

from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.version import __version__

from .colors import DATALOADERS
from .deployable import Graph
from .finished_run import source_name
from .load_student import Student, find_classes


def describe_export(
    student: Student, graph: Graph, colors: str, shapes: dict[str, Any]
) -> dict[str, str]:
    """Describe an exported student.

    Args:
        student (Student): The student.
        graph (Graph): What its graph takes and gives.
        colors (str): Order of the colours of the input, see
            :func:`~mmdskd.export.colors.find_colors`.
        shapes (dict[str, Any]): Shapes of the input and the outputs by their
            names.

    Returns:
        dict[str, str]: Names and texts. What is not a text itself is JSON.
    """
    preprocessor: Any = student.network.data_preprocessor
    values: dict[str, Any] = dict(
        mmdskd_version=__version__,
        checkpoint=osp.basename(student.checkpoint),
        normalize=graph.normalize,
        colors=colors,
        shapes=shapes,
        output=graph.output,
    )
    for name in ('mean', 'std'):
        value = getattr(preprocessor, name, None)
        if value is not None:
            values[name] = [round(x, 6) for x in value.flatten().tolist()]
    classes = find_classes(student)
    last = list(shapes.values())[-1]
    if classes and len(classes) == last[-1]:
        values['classes'] = classes
    thresholds = getattr(student.network, 'thresholds', None)
    if graph.exit is not None and thresholds:
        values['exit'] = graph.exit
        values['thresholds'] = thresholds
    pipeline = _find_pipeline(student)
    if pipeline:
        values['pipeline'] = pipeline
    score = find_score(student.checkpoint)
    if score is not None:
        values['best_score'] = score
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _find_pipeline(student: Student) -> Optional[list]:
    """Find what prepares the images of the test, before the network."""
    for name in DATALOADERS:
        if student.cfg.get(name):
            node: Any = student.cfg[name].to_dict().get('dataset')
            while isinstance(node, dict):
                if node.get('pipeline'):
                    return json.loads(
                        json.dumps(node['pipeline'], default=_name)
                    )
                node = node.get('dataset')
            return None
    return None


def _name(value: Any) -> str:
    """Name what JSON does not know, such as a class."""
    return getattr(value, '__name__', str(value))


def find_score(checkpoint: str) -> Optional[float]:
    """Find the validation result of a best checkpoint.

    Others are saved before their validation.

    Args:
        checkpoint (str): Path of a checkpoint, or of the student of one.

    Returns:
        float, optional: The result, in the unit of the metric, or None if it
        is not known.
    """
    if not osp.basename(checkpoint).startswith('best_'):
        return None
    own = osp.join(osp.dirname(checkpoint), source_name(checkpoint))
    try:
        hub = load_checkpoint_file(own, mmap=True).get('message_hub')
    except (CheckpointError, FileNotFoundError):
        return None
    info = (hub or {}).get('runtime_info') or {}
    score = info.get('best_score')
    return None if score is None else round(float(score), 4)
