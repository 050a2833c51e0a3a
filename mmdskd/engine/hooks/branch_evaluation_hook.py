"""Report the accuracy of each branch."""

from typing import Any, NamedTuple, Optional, Union

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmpretrain.evaluation import Accuracy, AveragePrecision
from torch import Tensor, nn

from mmdskd.engine.distillation_parts import find_dskd_losses, log_prefix
from mmdskd.models import DSKDConnector, MultiModuleOutputsRecorder
from mmdskd.models.utils.multi_label import is_multi_label, make_multi_hot
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model

from ..checks.distillation_check import check_distillation_once


class BranchClassifiers(NamedTuple):
    """The classifiers of one DSKD loss, and how they are evaluated.

    Attributes:
        recorder (MultiModuleOutputsRecorder): Records their features.
        connector (DSKDConnector): Their heads.
        metrics (list[Accuracy or AveragePrecision]): One per branch.
    """

    recorder: MultiModuleOutputsRecorder
    connector: DSKDConnector
    metrics: list[Union[Accuracy, AveragePrecision]]


@HOOKS.register_module()
class BranchEvaluationHook(Hook):
    """Report how good each branch is, beside the student.

    The heads of DSKD are classifiers of several depths. In each validation
    this hook lets them classify the features that the student's forward
    computes anyway, so what it costs is a forward of the heads. The weights
    are those with which the student is evaluated: under ``EMAHook`` the
    averaged ones. Training is left as it is, iterations and random numbers.

    For a loss named ``loss_dskd``, the accuracy of its first branch is
    logged as ``dskd.branch_0/accuracy/top1``, with the metrics of the
    student to all backends. Of a student with several labels per image, it
    is the mean average precision over the classes in percent,
    ``dskd.branch_0/multi-label/mAP``. It is no metric of the validation
    loop, so that ``save_best`` can't take it for the student's.

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
        """Classify the recorded features of a batch.

        Raises:
            ValueError: If an image has several labels, and the student gives
                one.
        """
        several = is_multi_label(student)
        if not several:
            _check_labels(student, predictions)
        for recorder in self._recorders():
            recorder.__exit__(None, None, None)
        for recorder, connector, metrics in self._branches.values():
            branches = connector(recorder.get_record_data())
            for branch, metric in zip(branches, metrics):
                describe = _describe_labels if several else _describe_label
                metric.process(None, describe(branch.logits, predictions))
        for recorder in self._recorders():
            recorder.reset_data_buffer()

    def _stop(self) -> None:
        """Let go of the student."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._branches = dict()


def _describe_label(
    logits: Tensor, samples: list[BaseDataElement]
) -> list[dict]:
    """What ``Accuracy`` takes."""
    found = logits.argmax(dim=1).cpu()
    return [
        dict(pred_label=ours, gt_label=sample.gt_label.cpu())
        for ours, sample in zip(found.split(1), samples)
    ]


def _describe_labels(
    logits: Tensor, samples: list[BaseDataElement]
) -> list[dict]:
    """What ``AveragePrecision`` takes."""
    return [
        dict(pred_score=scores, gt_score=make_multi_hot(sample, len(scores)))
        for scores, sample in zip(logits.float().sigmoid().cpu(), samples)
    ]


def _check_labels(student: nn.Module, samples: list[BaseDataElement]) -> None:
    """Raise unless each image has one label."""
    for sample in samples:
        if sample.gt_label.numel() != 1:
            head = type(getattr(student, 'head', student)).__name__
            raise ValueError(
                'BranchEvaluationHook should meet one label per image, as '
                f'the student has a {head}, but got gt_label='
                f'{sample.gt_label.tolist()}: take a head of several labels, '
                'such as MultiLabelLinearClsHead, or remove the hook'
            )


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
    several = is_multi_label(getattr(model, 'architecture', None))
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
            [
                AveragePrecision() if several else Accuracy()
                for _ in range(connector.num_branches)
            ],
        )
    return found
