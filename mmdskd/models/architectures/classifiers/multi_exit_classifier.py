"""A student with early exits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, ClassVar, NoReturn, Optional, Union

import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmdskd.registry import MODELS
from mmdskd.utils.rules import FLAG, SHARE, Kind, one_or_list
from mmdskd.utils.values import check_values

from ...task_modules.recorder import MultiModuleOutputsRecorder
from ...utils.multi_label import is_multi_label
from ..connectors import DSKDConnector
from .exits import check_thresholds, select

SHRINK_HINT = (
    'shrink_batch=True is for backbones in which all that follows '
    'a source takes nothing but its output, each sample by '
    'itself: name other modules in sources, or set '
    'shrink_batch=False'
)


class _AllLeft(Exception):
    """No sample of the batch is left to compute."""


@MODELS.register_module()
class MultiExitClassifier(ImageClassifier):
    """A student that keeps the heads of DSKD, and stops at the first of them
    that is sure enough.

    In prediction, a sample gets the result of the first head whose largest
    softmax probability is above its threshold, else that of the student's own
    head. What follows is not computed: samples that have left are taken out
    of the batch, and when all have left, the forward ends. This is the
    conditional computation of `BranchyNet
    <https://arxiv.org/abs/1709.01686>`_, with confidence in place of entropy.
    Each exit waits once for the device, to know who leaves.

    Predictions also tell the exit, as ``exit_index``: the index of the source
    in ``sources``, or the number of sources for the student's own head.

    The modes "tensor" and :meth:`extract_feat` are those of the plain
    student, all of it and no head. It is not to be trained: the student's
    loss would change the features under the heads. It takes the place of
    :class:`mmpretrain.ImageClassifier` in a config, and
    ``tools/model_converters/convert_kd_ckpt_to_student.py --exits`` makes it.

    Taking samples out of the batch is right where everything after a source
    depends on the source's output alone, sample by sample. So it is for the
    stages of the backbones of this package, of ResNet, VGG, MobileNet,
    ShuffleNet and Swin, and for the blocks of a vision transformer; not for a
    module inside a residual block, nor for a backbone which hands on what it
    has computed before the source. What does not fit is an error, and
    ``shrink_batch=False`` serves it.

    Args:
        *args: See :class:`mmpretrain.ImageClassifier`.
        exits (dict): ``sources``, the names of the modules at which the heads
            attach, as in ``mmdskd.MultiModuleOutputs``, and ``connector``,
            the config of the :class:`~mmdskd.models.DSKDConnector`, with
            classifiers. Both are those of the distillation.
        threshold (float or Sequence[float]): Confidence that a sample has to
            exceed in order to leave, in [0, 1], one for all exits or one per
            exit. With 1 none leaves, and such a head is not computed: the
            predictions are those of the plain student, bit for bit. With 0
            all leave. Defaults to 0.9.
        shrink_batch (bool): Whether samples that have left are taken out of
            the batch. Otherwise the forward ends when all have left, and not
            before. Defaults to True.
        **kwargs: See :class:`mmpretrain.ImageClassifier`.

    Raises:
        KeyError: If a source is not a module of the classifier.
        TypeError: If ``sources`` is not a list of names, or the connector
            not a DSKDConnector.
        ValueError: If ``exits`` is not of these two, its parts do not fit,
            the heads have no classifiers, the head gives several labels per
            image, or a threshold is out of range.

    Examples:
        >>> model = dict(
        ...     type='mmdskd.MultiExitClassifier',
        ...     backbone=dict(type='mmdskd.CIFARResNet', depth=8),
        ...     neck=dict(type='GlobalAveragePooling'),
        ...     head=dict(type='LinearClsHead', num_classes=10,
        ...               in_channels=64),
        ...     exits=dict(
        ...         sources=['backbone.layer1', 'backbone.layer2'],
        ...         connector=dict(
        ...             type='mmdskd.DSKDConnector', in_channels=[16, 32],
        ...             strides=[4, 2], out_channels=64, num_classes=10)),
        ...     threshold=0.9)
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        exits=Kind('a dict of sources and connector'),
        threshold=one_or_list(SHARE),
        shrink_batch=FLAG,
    )

    def __init__(
        self,
        *args: Any,
        exits: dict,
        threshold: Union[float, Sequence[float]] = 0.9,
        shrink_batch: bool = True,
        **kwargs: Any,
    ) -> None:
        check_values(
            'MultiExitClassifier',
            {'shrink_batch': FLAG},
            dict(shrink_batch=shrink_batch),
        )
        super().__init__(*args, **kwargs)
        if not isinstance(exits, dict) or set(exits) != {
            'sources',
            'connector',
        }:
            raise ValueError(
                'exits should be a dict of sources and connector'
                f', but got {exits}'
            )
        # It knows how to tell what is wrong with a name.
        recorder = MultiModuleOutputsRecorder(exits['sources'])
        recorder.initialize(self)
        recorder.remove_hooks()
        self.sources = recorder.sources
        self.exits = MODELS.build(exits['connector'])
        self._check_exits()
        self.shrink_batch = shrink_batch
        self.thresholds = check_thresholds(threshold, len(self.sources))

    def _check_exits(self) -> None:
        """Check that sources, heads and student fit."""
        if not isinstance(self.exits, DSKDConnector):
            raise TypeError(
                'The connector of exits should be a DSKDConnector'
                f', but got {type(self.exits).__name__}'
            )
        if len(self.sources) != self.exits.num_branches:
            raise ValueError(
                'exits should have one head per source, but got '
                f'{self.exits.num_branches} heads for {self.sources}'
            )
        if is_multi_label(self):
            raise ValueError(
                'The head of a MultiExitClassifier should give one label per '
                'image, as exits compare softmax probabilities, but '
                f'{type(self.head).__name__} gives several'
            )
        ours = self.exits.num_classes
        theirs = getattr(self.head, 'num_classes', ours)
        if ours is None or ours != theirs:
            raise ValueError(
                'The heads of exits should classify as the student does, '
                f'into {theirs} classes, but their num_classes is {ours}'
            )

    @contextmanager
    def watch_sources(self, look: Callable) -> Iterator[None]:
        """Let ``look(index, module, inputs, output)`` see each source."""
        handles = [
            self.get_submodule(source).register_forward_hook(
                partial(look, index)
            )
            for index, source in enumerate(self.sources)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def predict(
        self,
        inputs: Tensor,
        data_samples: Optional[list[DataSample]] = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """Predict, and stop at the first exit that is sure enough.

        Args:
            inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[DataSample], optional): Samples to which the
                predictions are added. Defaults to None.
            **kwargs: Arguments of ``predict`` of the student's head.

        Returns:
            list[DataSample]: One per image, with ``pred_score``,
            ``pred_label`` and ``exit_index``.

        Raises:
            RuntimeError: If the backbone does not take a batch that shrinks.
        """
        samples = [
            DataSample() if sample is None else sample
            for sample in data_samples or [None] * len(inputs)
        ]
        remaining = list(range(len(samples)))

        def let_go(
            index: int, module: nn.Module, args: tuple, output: Any
        ) -> Any:
            nonlocal remaining
            threshold = self.thresholds[index]
            if threshold >= 1:
                return None
            rest = output if self.shrink_batch else select(output, remaining)
            scores = F.softmax(self.exits.run_head(index, rest).logits, dim=1)
            labels = scores.argmax(dim=1, keepdim=True)
            leaves = (scores.amax(dim=1) > threshold).tolist()
            if len(leaves) != len(remaining):
                raise RuntimeError(
                    f'{self.sources[index]!r} has {len(leaves)} samples where '
                    f'{len(remaining)} are left'
                )
            for i, score, label, leaving in zip(
                remaining, scores, labels, leaves
            ):
                if leaving:
                    samples[i].set_pred_score(score).set_pred_label(label)
                    samples[i].exit_index = index
            rows = [row for row, leaving in enumerate(leaves) if not leaving]
            remaining = [remaining[row] for row in rows]
            if not remaining:
                raise _AllLeft
            if self.shrink_batch and len(rows) < len(leaves):
                return select(output, rows)
            return None

        try:
            with self.watch_sources(let_go):
                predictions = self.head.predict(
                    self.extract_feat(inputs), **kwargs
                )
        except _AllLeft:
            return samples
        except RuntimeError as error:
            if self.shrink_batch and len(remaining) < len(samples):
                raise RuntimeError(
                    f'The forward fails after {len(samples) - len(remaining)} '
                    f'of {len(samples)} samples have left ({error}). '
                    f'{SHRINK_HINT}'
                ) from error
            raise
        if not self.shrink_batch:
            predictions = [predictions[i] for i in remaining]
        if len(predictions) != len(remaining):
            raise RuntimeError(
                f'The backbone ends with {len(predictions)} samples where '
                f'{len(remaining)} are left: {SHRINK_HINT}'
            )
        for i, prediction in zip(remaining, predictions):
            samples[i].update(prediction)
            samples[i].exit_index = len(self.sources)
        return samples

    def exit_logits(self, inputs: Tensor) -> list[Tensor]:
        """Compute all exits, whatever the thresholds.

        Args:
            inputs (Tensor): Images, (N, C, H, W).

        Returns:
            list[Tensor]: Logits of each head, in the order of ``sources``,
            and last those of the student, each (N, K).

        Raises:
            RuntimeError: If a source has not run in the forward.
        """
        logits: list[Optional[Tensor]] = [None] * len(self.sources)

        def run_head(
            index: int, module: nn.Module, args: tuple, output: Any
        ) -> None:
            logits[index] = self.exits.run_head(index, output).logits

        with self.watch_sources(run_head):
            last = self(inputs)
        not_run = [s for s, z in zip(self.sources, logits) if z is None]
        if not_run:
            raise RuntimeError(
                f'{", ".join(not_run)} of sources should run '
                'in a forward of the student, but did not'
            )
        return [*logits, last]

    def loss(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to train.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            'MultiExitClassifier should be made from a trained DSKD student '
            'by convert_kd_ckpt_to_student.py --exits, and not be trained: '
            'the loss of the student would change the features under its '
            'heads'
        )
