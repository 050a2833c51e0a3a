"""Check the numbers of classes whose logits a loss compares."""

from typing import Optional

from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules.recorder import (
    ModuleInputsRecorder,
    ModuleOutputsRecorder,
)
from torch import nn

from mmdskd.models import DSKDLoss, StandardizedKLDivergence
from mmdskd.models.utils.num_classes import (
    advise_other_classes,
    find_num_classes,
)


def check_standardized(name: str, loss: nn.Module, num_classes: dict) -> None:
    """Raise if logits of one class would be standardised."""
    if any(isinstance(m, StandardizedKLDivergence) for m in loss.modules()):
        for part, number in num_classes.items():
            if number is not None and number < 2:
                raise ValueError(
                    f'{name}: StandardizedKLDivergence should get logits of '
                    f'at least 2 classes, but the {part} has {number}: the '
                    'deviation of one logit is 0. Take another loss, or 2 '
                    'classes'
                )


def needs_student(loss: DSKDLoss) -> bool:
    """Whether the branches are of the classes of the student's labels."""
    return bool({'gt_labels', 'preds_S'} & set(loss.needs))


def takes_logits(
    mapping: dict,
    distiller: ConfigurableDistiller,
    from_student: bool,
    network: Optional[nn.Module],
) -> bool:
    """Whether a loss takes the logits of a network."""
    recorders = (
        distiller.student_recorders
        if from_student
        else distiller.teacher_recorders
    ).recorders
    return any(
        isinstance(recorders[record['recorder']], ModuleOutputsRecorder)
        and not isinstance(recorders[record['recorder']], ModuleInputsRecorder)
        and _gives_logits(recorders[record['recorder']].source, network)
        for record in mapping.values()
        if record['from_student'] is from_student
        and record.get('connector') is None
    )


def _gives_logits(source: str, network: Optional[nn.Module]) -> bool:
    """Whether a module is the head, or the last layer of timm's networks."""
    if source.split('.')[0] == 'head':
        return True
    layer = dict(network.named_modules()).get(source) if network else None
    return isinstance(
        layer, nn.Linear
    ) and layer.out_features == find_num_classes(network)


def check_num_classes(name: str, num_classes: dict) -> None:
    """Check the classes of those whose logits a loss compares."""
    known = {part: n for part, n in num_classes.items() if n is not None}
    if len(set(known.values())) > 1:
        advice = ''
        if {'student', 'teacher'} <= set(known):
            advice = f'. {advise_other_classes(known.get("student"))}'
        raise ValueError(
            'The numbers of classes should agree, but they are: '
            + ', '.join(f'{part} {n}' for part, n in known.items())
            + f'. {name} compares their logits; where only features teach, '
            'they may differ' + advice
        )
