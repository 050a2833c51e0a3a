"""Check a distillation before it trains."""

from typing import Any
from weakref import WeakSet

from mmrazor.models.architectures.dynamic_ops import DynamicMixin
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.mutators import ChannelMutator
from torch import nn

from mmdskd.models import DSKDConnector, DSKDLoss, MultiModuleOutputsRecorder
from mmdskd.models.losses.criterion import check_numbers
from mmdskd.models.utils.num_classes import find_num_classes

from .last_layer_check import check_last_layer
from .mapping_check import check_mappings, check_used
from .num_classes_check import (
    check_num_classes,
    check_standardized,
    needs_student,
    takes_logits,
)

_checked: 'WeakSet[nn.Module]' = WeakSet()


def check_distillation_once(model: nn.Module) -> None:
    """Check the distillation of a model unless that was done.

    Args:
        model (nn.Module): The algorithm.

    Raises:
        ValueError: See :func:`check_distillation`.
    """
    if model not in _checked:
        check_distillation(model)


def check_distillation(model: nn.Module) -> None:
    """Check that the parts of a distillation fit, before it trains.

    Recorder, connector and loss are built apart and never see one another;
    only the algorithm holds them all.

    Args:
        model (nn.Module): The algorithm. Without a
            ``mmrazor.ConfigurableDistiller`` there is nothing to check.

    Raises:
        TypeError: If a value of a mapping is of another type.
        ValueError: If the mappings of a loss do not fit, see
            :func:`check_mappings`, numbers of branches or classes disagree,
            a loss is not given what it needs, there is a classifier too many
            or too few, a ``tau`` is not positive, logits of one class would
            be standardised, the last layer of the student is distilled
            twice, or the algorithm varies the width of a layer that a head
            is on.
    """
    _checked.discard(model)
    _check_trainable(model)
    check_mappings(model)
    distiller = getattr(model, 'distiller', None)
    if isinstance(distiller, ConfigurableDistiller):
        _check_losses(model, distiller)
    check_used(model)
    _checked.add(model)


def _check_trainable(model: Any) -> None:
    """Check that a student that is not to be trained is not.

    MMRazor trains it by its own loss nevertheless.
    """
    if not getattr(model, 'student_trainable', True) and getattr(
        model, 'calculate_student_loss', False
    ):
        raise ValueError(
            'model.calculate_student_loss should be False with '
            'student_trainable=False, but got True: the loss of the student '
            'would train it'
        )


def _check_losses(model: Any, distiller: ConfigurableDistiller) -> None:
    """Check what each loss compares."""
    networks = {
        part: getattr(model, name, None)
        for part, name in (('student', 'architecture'), ('teacher', 'teacher'))
    }
    num_classes = {
        part: find_num_classes(network) for part, network in networks.items()
    }
    for name, loss in distiller.distill_losses.items():
        check_numbers(name, loss)
        mapping = distiller.loss_forward_mappings[name]
        used = {
            part: number
            for part, number in num_classes.items()
            if takes_logits(
                mapping, distiller, part == 'student', networks[part]
            )
        }
        check_num_classes(name, used)
        check_standardized(name, loss, used)
        if isinstance(loss, DSKDLoss):
            recorder = _check_dskd(name, loss, distiller, num_classes)
            check_last_layer(name, loss, model)
            _check_widths(name, recorder.sources, model)


def _check_dskd(
    name: str,
    loss: DSKDLoss,
    distiller: ConfigurableDistiller,
    num_classes: dict,
) -> MultiModuleOutputsRecorder:
    """Check one loss, and return the recorder of its branches."""
    path = f'model.distiller.loss_forward_mappings.{name}'
    mapping = distiller.loss_forward_mappings[name]
    missing = [key for key in loss.needs if key not in mapping]
    if missing:
        raise ValueError(
            f'{path} should give '
            f'{", ".join(loss.needs)}, but {", ".join(missing)} is missing'
        )

    source = mapping['branches']
    recorders = (
        distiller.student_recorders
        if source['from_student']
        else distiller.teacher_recorders
    )
    recorder = recorders.get_recorder(source['recorder'])
    connector = (
        distiller.connectors[source['connector']]
        if 'connector' in source
        else None
    )
    if not isinstance(connector, DSKDConnector):
        raise ValueError(
            f'{path}.branches should come through a connector of type '
            'mmdskd.DSKDConnector, but its connector '
            f'{source.get("connector")!r} is a {type(connector).__name__}'
        )
    if not isinstance(recorder, MultiModuleOutputsRecorder):
        raise ValueError(
            f'{path}.branches should be recorded by '
            f'mmdskd.MultiModuleOutputs, but {source["recorder"]!r} is a '
            f'{type(recorder).__name__}'
        )
    branches = {
        f'recorder {source["recorder"]!r} (sources)': len(recorder.sources),
        f'connector {source["connector"]!r} (in_channels)': (
            connector.num_branches
        ),
        f'loss {name!r} (num_branches)': loss.num_branches,
    }
    if len(set(branches.values())) > 1:
        raise ValueError(
            'The numbers of branches should agree, but they are: '
            + ', '.join(f'{part} {n}' for part, n in branches.items())
        )
    if loss.needs_logits and connector.num_classes is None:
        raise ValueError(
            f'{name} has a logit_loss or label_loss, but connector '
            f'{source["connector"]!r} has no classifier: set num_classes'
        )
    if not loss.needs_logits and connector.num_classes is not None:
        raise ValueError(
            f'{name} has neither logit_loss nor label_loss, but connector '
            f'{source["connector"]!r} has a classifier, which would get no '
            'gradient: set num_classes=None'
        )
    if connector.num_classes is not None:
        used = {
            part: number
            for part, number, is_used in (
                ('student', num_classes['student'], needs_student(loss)),
                ('teacher', num_classes['teacher'], 'preds_T' in loss.needs),
            )
            # The student without a teacher is its own.
            if is_used or num_classes['teacher'] is None
        }
        used[f'connector {source["connector"]!r}'] = connector.num_classes
        check_num_classes(name, used)
        check_standardized(name, loss, used)
    return recorder


def _check_widths(name: str, sources: list[str], model: Any) -> None:
    """Raise if a search varies the width of a layer that a head is on."""
    mutator = getattr(model, 'mutator', None)
    if not isinstance(mutator, ChannelMutator):
        return
    units = {
        id(channel.module): unit
        for unit in mutator.mutable_units
        for channel in unit.output_related
    }
    for source in sources:
        # The last layer of a block has the width of its output.
        layers = [
            module
            for module in model.architecture.get_submodule(source).modules()
            if isinstance(module, DynamicMixin)
        ]
        unit = units.get(id(layers[-1])) if layers else None
        if unit is None or len(getattr(unit, 'candidate_choices', ())) == 1:
            continue
        raise ValueError(
            f'{type(model).__name__} varies the width of {source!r} from step '
            f'to step, but the head of {name} on it has fixed in_channels. '
            'Take a layer of fixed width, or fix the width of this one where '
            'the algorithm allows it: of a OneShotChannelMutator, '
            f'channel_unit_cfg.units={{{unit.name!r}: dict(init_args=dict('
            "candidate_choices=[1.0], choice_mode='ratio'))}. Or distil "
            'when the search is over: see docs/mixing.md'
        )
