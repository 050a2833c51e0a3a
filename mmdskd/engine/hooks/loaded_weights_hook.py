"""See that a checkpoint goes whole into the model."""

from collections import OrderedDict
from typing import Any, ClassVar

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmdskd.engine.checks.loaded_weights import (
    PartialCheckpointError,
    describe_report,
    drop_expected,
    find_cause,
    has_student,
)
from mmdskd.registry import HOOKS
from mmdskd.utils.load_whole import LoadReport, load_whole
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.rules import FLAG
from mmdskd.utils.state_dict import (
    WRAPPER_PREFIX,
    find_left_out,
    find_tensors,
    has_names_of,
    rename_weights,
)
from mmdskd.utils.text import shorten
from mmdskd.utils.values import check_values


@HOOKS.register_module()
class LoadedWeightsHook(Hook):
    """Refuse checkpoints that do not fit the model.

    MMEngine loads what fits and only warns of the rest, so that a training
    or a test goes on with weights as they were initialised. This hook looks
    at each checkpoint that a runner loads, by ``load_from``, by a resume or
    for a test, and refuses it if it leaves tensors of the model as they
    were, brings tensors for nothing, or has other shapes.

    The checkpoint of the plain student as ``load_from`` of a distillation
    loads into the student, whatever class it is of.

    The tools add this hook to each run.

    Args:
        allow_partial (bool): Whether a checkpoint may fit in part, as for a
            fine-tuning with another number of classes. Then the log says
            what was not loaded. Defaults to False.

    Raises:
        TypeError: If ``allow_partial`` is not a bool.

    Examples:
        >>> default_hooks = dict(
        ...     loaded_weights=dict(
        ...         type='mmdskd.LoadedWeightsHook', allow_partial=True))
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(allow_partial=FLAG)

    # Before EMAHook, which copies what it finds.
    priority = 'VERY_HIGH'

    def __init__(self, allow_partial: bool = False) -> None:
        check_values(
            'LoadedWeightsHook', self.VALUES, dict(allow_partial=allow_partial)
        )
        self.allow_partial = allow_partial

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the weights, and see what was not loaded.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint, which MMEngine loads
                afterwards. Its weights get the names of the model.

        Raises:
            PartialCheckpointError: If it does not fit.
        """
        model = unwrap_model(runner.model)
        weights = _find_weights(checkpoint, model, _name_source(runner))
        student = getattr(model, 'architecture', None)
        trains = isinstance(runner._train_loop, BaseLoop)
        if isinstance(student, nn.Module) and not has_student(weights):
            self._load_student(runner, student, weights, trains)
            # What follows loads what is there.
            weights = model.state_dict()
        else:
            report = drop_expected(
                load_whole(model, weights),
                model,
                trains and not _has_teacher_ckpt(runner),
            )
            self._judge(runner, report, model, model, weights)
            if report.is_whole and not has_names_of(model, model.state_dict()):
                weights = model.state_dict()
                weights.update(find_left_out(model, weights))
        if hasattr(model, WRAPPER_PREFIX[:-1]):
            # MMEngine takes it for the name of a wrapper, and drops it.
            weights = rename_weights(
                weights, lambda name: WRAPPER_PREFIX + name
            )
        checkpoint['state_dict'] = weights

    def _load_student(
        self, runner: Runner, student: nn.Module, weights: dict, trains: bool
    ) -> None:
        """Load the weights of a plain student."""
        model = unwrap_model(runner.model)
        if not trains or runner._resume:
            raise PartialCheckpointError(
                f'{_name_source(runner)} should be a checkpoint of the '
                'model of the config, but this is the config of the '
                'distillation, and the file of a plain network. To test a '
                'student, take student_config.py. To begin a distillation '
                'with it, name it by load_from, without a resume.'
            )
        report = drop_expected(load_whole(student, weights), model, False)
        self._judge(runner, report, student, model, weights)
        runner.logger.info(
            f'{_name_source(runner)} is a checkpoint of the plain student: '
            f'{len(weights)} tensors were loaded into model.architecture. '
            'All else of the distillation starts as it was initialised.'
        )

    def _judge(
        self,
        runner: Runner,
        report: LoadReport,
        loaded: nn.Module,
        model: nn.Module,
        weights: dict,
    ) -> None:
        """Refuse what does not fit, or log it if that is meant."""
        if report.is_whole:
            return
        found = describe_report(report, loaded, weights)
        if self.allow_partial:
            runner.logger.warning(
                f'{_name_source(runner)} fits in part, as allow_partial says '
                f'is meant: it {found}.'
            )
            return
        raise PartialCheckpointError(
            f'{_name_source(runner)} should fit the model of the config, but '
            f'it {found}. {find_cause(report, model, weights)} If it is '
            'meant to fit in part, say --allow-partial, or set '
            'default_hooks.loaded_weights.allow_partial=True.'
        )


def _name_source(runner: Runner) -> str:
    """Name the checkpoint for a message."""
    path = runner._load_from
    if runner._resume:
        return f'The checkpoint to resume, {path or "the latest one"},'
    return f'load_from={path!r}'


def _has_teacher_ckpt(runner: Runner) -> bool:
    model = runner.cfg.get('model') or {}
    return bool(model.get('teacher_ckpt'))


def _describe_content(checkpoint: dict) -> str:
    if 'state_dict' in checkpoint:
        return 'no tensor in it'
    return shorten(sorted(map(str, checkpoint)), 6)


def _find_weights(checkpoint: dict, model: nn.Module, source: str) -> dict:
    """Find the weights in a checkpoint; it may hold nothing else."""
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not any(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise PartialCheckpointError(
            f'{source} should hold weights under "state_dict", as MMEngine '
            f'saves them, but has {_describe_content(checkpoint)}.'
            ' tools/model_converters/convert_kd_zoo_ckpt.py converts '
            'networks of RepDistiller, SemCKD, SimKD and mdistiller.'
        )
    if weights is checkpoint:
        weights = OrderedDict(checkpoint)
        checkpoint.clear()
    # A network may have a part of that name.
    is_ours = all(
        name.startswith(WRAPPER_PREFIX) for name in find_tensors(model)
    )
    wrapper = WRAPPER_PREFIX * (1 + is_ours)
    if all(name.startswith(wrapper) for name in weights):
        weights = rename_weights(
            weights, lambda name: name[len(WRAPPER_PREFIX) :]
        )
    return weights
