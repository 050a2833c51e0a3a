"""Check the last layer of the student as a branch of the DSKD loss."""

from typing import Any

from mmdskd.models import DSKDLoss
from mmdskd.models.losses.last_layer import LAST_LAYER


def check_last_layer(name: str, loss: DSKDLoss, model: Any) -> None:
    """Check what a loss gets of the last layer.

    Args:
        name (str): Its name in ``distill_losses``.
        loss (DSKDLoss): The loss, given all that it needs.
        model (nn.Module): The algorithm, with a ``ConfigurableDistiller``.

    Raises:
        ValueError: If the loss gets of the last layer what it does not need,
            the last layer is not the student's, there is no teacher, or
            another loss distils the logits of the last layer as well.
    """
    mappings = model.distiller.loss_forward_mappings
    mapping = mappings[name]
    for key in LAST_LAYER.values():
        if key in mapping and key not in loss.needs:
            raise ValueError(
                f'model.distiller.loss_forward_mappings.{name} should give '
                f'{", ".join(loss.needs)} only, but also gives {key}: remove '
                'it, and its connector, which would get no gradient; or set '
                'last_layer=True, with a logit_loss for preds_S or a '
                'feat_loss for feat_S'
            )
    if not loss.last_layer:
        return
    if getattr(model, 'teacher', None) is None:
        raise ValueError(
            f'last_layer of {name} should be False in {type(model).__name__}, '
            'which has no teacher: the last layer would be its own, but got '
            'True'
        )
    if 'preds_S' not in mapping:
        return
    logits = _source(model.distiller, mapping['preds_S'])
    for other, records in mappings.items():
        distilled = model.distiller.distill_losses[other]
        # A loss that compares it with something of the teacher, as KD does.
        of_teacher = any(not r['from_student'] for r in records.values())
        if (
            other != name
            and of_teacher
            and getattr(distilled, 'loss_weight', 1)
            and any(
                _source(model.distiller, record) == logits
                for record in records.values()
                if record['from_student']
            )
        ):
            raise ValueError(
                f'{name} has last_layer=True, so it distils the logits of '
                f'the last layer, but {other} ({type(distilled).__name__}) '
                f'distils them as well: remove {other} and its '
                'loss_forward_mappings, or set last_layer=False'
            )


def _source(distiller: Any, record: dict) -> Any:
    """Module that a record of the student comes from."""
    recorder = distiller.student_recorders.get_recorder(record['recorder'])
    return type(recorder), recorder.source, record.get('data_idx')
