"""Report the accuracy of each branch."""

from typing import Any, NamedTuple, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmpretrain.evaluation import Accuracy
from torch import nn

from mmdskd.engine.distillation_parts import find_dskd_losses, log_prefix
from mmdskd.models import DSKDConnector, MultiModuleOutputsRecorder
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model

from ..checks.distillation_check import check_distillation_once


class BranchClassifiers(NamedTuple):
    """The classifiers of one DSKD loss, and how they are evaluated.

    Attributes:
        recorder (MultiModuleOutputsRecorder): Records their features.
        connector (DSKDConnector): Their heads.
        metrics (list[Accuracy]): One per branch.
    """

    recorder: MultiModuleOutputsRecorder
    connector: DSKDConnector
    metrics: list[Accuracy]


@HOOKS.register_module()
class BranchEvaluationHook(Hook):
    """Report the top-1 accuracy of each branch beside the student's.

    The heads of DSKD are classifiers of several depths. In each validation
    this hook lets them classify the features that the student's forward
    computes anyway, so what it costs is a forward of the heads. The weights
    are those with which the student is evaluated: under ``EMAHook`` the
    averaged ones. Training is left as it is, iterations and random numbers.

    For a loss named ``loss_dskd``, the accuracy of its first branch is
    logged as ``dskd.branch_0/accuracy/top1``, with the metrics of the
    student to all backends. It is no metric of the validation loop, so that
    ``save_best`` can't take it for the student's.

    Examples:
        >>> custom_hooks = [dict(type='mmdskd.BranchEvaluationHook')]
    """

    priority = 'NORMAL'  # before LoggerHook

    def __init__(self) -> None:
        self._branches: dict[str, BranchClassifiers] = dict()
        self._handles: list = []

    def before_train(self, runner: Runner) -> None:
        """See that there is what is evaluated, before it is trained.

        Raises:
            KeyError: If the model has no DSKD loss.
            ValueError: If the parts of the distillation do not fit, or the
                heads have no classifiers.
        """
        find_classifiers(unwrap_model(runner.model))

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin to watch the student.

        Raises:
            KeyError: If the model has no DSKD loss.
            ValueError: If the parts of the distillation do not fit, or the
                heads have no classifiers.
        """
        if self._handles:
            return  # a loop that evaluates the teacher as well comes twice
        model = unwrap_model(runner.model)
        self._branches = find_classifiers(model)
        # Watched is the student, not the iteration: the heads then run in
        # the precision of the student, and not when the teacher is run.
        student: Any = model.architecture
        self._handles = [
            student.register_forward_pre_hook(self._start_recording),
            student.register_forward_hook(self._evaluate),
        ]

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict[str, float]] = None
    ) -> None:
        """Log the accuracies."""
        size = len(runner.val_dataloader.dataset)
        for name, branches in self._branches.items():
            for i, metric in enumerate(branches.metrics):
                for key, value in metric.evaluate(size).items():
                    runner.message_hub.update_scalar(
                        f'val/{log_prefix(name)}.branch_{i}/{key}', value
                    )
        self._stop()

    def _recorders(self) -> list[MultiModuleOutputsRecorder]:
        """The recorders, each once: losses may share one."""
        return list(
            dict.fromkeys(
                branches.recorder for branches in self._branches.values()
            )
        )

    def _start_recording(self, student: nn.Module, args: tuple) -> None:
        for recorder in self._recorders():
            recorder.__enter__()

    def _evaluate(
        self,
        student: nn.Module,
        args: tuple,
        predictions: list[BaseDataElement],
    ) -> None:
        """Classify the recorded features of a batch."""
        labels = torch.cat([sample.gt_label for sample in predictions]).cpu()
        for recorder in self._recorders():
            recorder.__exit__(None, None, None)
        for recorder, connector, metrics in self._branches.values():
            branches = connector(recorder.get_record_data())
            for branch, metric in zip(branches, metrics):
                found = branch.logits.argmax(dim=1).cpu()
                metric.process(
                    None,
                    [
                        dict(pred_label=ours, gt_label=label)
                        for ours, label in zip(found.split(1), labels.split(1))
                    ],
                )
        for recorder in self._recorders():
            recorder.reset_data_buffer()

    def _stop(self) -> None:
        """Let go of the student."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._branches = dict()


def find_classifiers(model: nn.Module) -> dict[str, BranchClassifiers]:
    """Find the branches of all DSKD losses of a model.

    Args:
        model (nn.Module): The algorithm.

    Returns:
        dict[str, BranchClassifiers]: Those of each loss, by its name, with
        new metrics.

    Raises:
        KeyError: If there are none.
        ValueError: If the parts of the distillation do not fit, or the heads
            have no classifiers.
    """
    losses = find_dskd_losses(model)
    check_distillation_once(model)
    found = dict()
    for name in losses:
        distiller: Any = model.distiller
        source = distiller.loss_forward_mappings[name]['branches']
        connector = distiller.connectors[source['connector']]
        if connector.num_classes is None:
            raise ValueError(
                'BranchEvaluationHook should meet heads that classify, but '
                f'connector {source["connector"]!r} of {name} has no '
                'classifiers: remove the hook, or give num_classes to the '
                f'connector and a logit_loss or label_loss to {name}'
            )
        recorders = (
            distiller.student_recorders
            if source['from_student']
            else distiller.teacher_recorders
        )
        found[name] = BranchClassifiers(
            recorders.get_recorder(source['recorder']),
            connector,
            [Accuracy() for _ in range(connector.num_branches)],
        )
    return found
