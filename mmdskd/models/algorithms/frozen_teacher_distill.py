import copy
import logging
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, ContextManager, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.utils import add_prefix
from torch import Tensor, nn

from mmdskd.models.utils.fold_bn import find_foldable, fold
from mmdskd.models.utils.teacher_weights import (
    digest,
    load_teacher,
    load_teacher_weights,
)
from mmdskd.registry import MODELS
from mmdskd.utils.config import type_name
from mmdskd.utils.model import STUDENT_PREFIX

from .teacher_forward import (
    AUTOCAST_DTYPES,
    TOLERANCE,
    Undo,
    _compile_arguments,
    _is_activation,
    _no_tf32,
    _tensors,
    check_autocast,
    largest_difference,
)


@MODELS.register_module()
class FrozenTeacherDistill(SingleTeacherDistill):
    """MMRazor's ``SingleTeacherDistill`` with a teacher that only teaches.

    It takes the same config, and gives the same losses. What differs:

    - The teacher is entirely in eval mode, always: dropout and drop-path are
      off, not only the updates of its batch norms.
    - It runs without gradients, and without its task loss where the
      recorders don't need that, or there is none. In-place activations are
      on again in it where they change nothing that is recorded. After
      ``mmrazor.StopDistillHook`` has stopped the distillation it does not
      run at all.
    - Its checkpoint must fit: see :func:`mmdskd.models.utils.teacher_weights.load_teacher`.
      Without ``teacher_ckpt``, an ``init_cfg`` of type ``Pretrained`` of the
      teacher is taken for it.
    - It is no child of this module. So optimizers, averaged models,
      ``state_dict`` and checkpoints know nothing of it; ``to``, ``cuda`` and
      their like move it nevertheless. Copies of the algorithm share it, and
      leave it where it is.
      A checkpoint holds its digest, ``teacher_digest``; with another teacher
      than that, training refuses to go on. From a checkpoint of MMRazor's
      algorithm, the teacher in it is taken.
    - Recorded tensors are let go as soon as the losses exist.

    What speeds the teacher up further is off by default. It begins with the
    first batch of training, which shows whether the recorded tensors stay the
    same, and what is delivered; what changes them by more than a thousandth
    of their largest value is undone, with a warning. Half precision is not
    checked in this way.

    Args:
        distiller (dict): Config of the distiller.
        teacher (dict or BaseModel): The teacher, or its config. A built one
            keeps its weights if there is no ``teacher_ckpt``.
        teacher_ckpt (str, optional): Checkpoint of the teacher, a file or a
            URL. None leaves random weights. Defaults to None.
        teacher_trainable (bool): Must be False; it is there for the sake of
            MMRazor's configs. Defaults to False.
        teacher_norm_eval (bool): Must be True, likewise. Defaults to True.
        teacher_module_inplace (bool): Whether to leave in-place activations
            of the teacher as they are, without a look at what is recorded.
            Defaults to False.
        teacher_fold_bn (bool): Whether to fold the teacher's batch norms
            into the convolutions before them, but for those that are
            recorded. Defaults to False.
        teacher_channels_last (bool): Whether to hold the teacher's weights
            in the memory format ``torch.channels_last``. What is recorded is
            contiguous nevertheless. Defaults to False.
        teacher_autocast_dtype (str, optional): Type in which the teacher
            computes what is safe to compute in it, "bfloat16" or "float16".
            What is recorded comes as float32. Defaults to None, which leaves
            that to the training.
        teacher_compile (bool or dict): Whether to compile the teacher, or
            arguments of :func:`torch.compile`. Defaults to False.
        **kwargs: Further arguments of
            :class:`mmrazor.models.SingleTeacherDistill`.

    Attributes:
        teacher (BaseModel): The teacher.
        teacher_digest (Tensor): Digest of its weights as they were loaded,
            (32, ) of uint8, a buffer.

    Raises:
        FileNotFoundError: If there is no file ``teacher_ckpt``.
        ValueError: If it does not fit the teacher, or an argument is not one
            of those above or needs what is not there.

    Examples:
        >>> import torch
        >>> from mmdskd.registry import MODELS
        >>> from mmpretrain.structures import DataSample
        >>> def classifier(depth):
        ...     return dict(
        ...         type='ImageClassifier', _scope_='mmpretrain',
        ...         backbone=dict(type='mmdskd.CIFARResNet', depth=depth),
        ...         neck=dict(type='GlobalAveragePooling'),
        ...         head=dict(
        ...             type='LinearClsHead', num_classes=10, in_channels=64))
        >>> logits = dict(type='ModuleOutputs', source='head.fc')
        >>> algorithm = MODELS.build(dict(
        ...     type='mmdskd.FrozenTeacherDistill', _scope_='mmrazor',
        ...     architecture=classifier(8), teacher=classifier(14),
        ...     teacher_ckpt=None, teacher_fold_bn=True,
        ...     distiller=dict(
        ...         type='ConfigurableDistiller',
        ...         student_recorders=dict(logits=logits),
        ...         teacher_recorders=dict(logits=logits),
        ...         distill_losses=dict(
        ...             loss_kd=dict(type='KLDivergence', tau=4)),
        ...         loss_forward_mappings=dict(
        ...             loss_kd=dict(
        ...                 preds_S=dict(from_student=True, recorder='logits'),
        ...                 preds_T=dict(
        ...                     from_student=False, recorder='logits'))))))
        >>> samples = [DataSample().set_gt_label(digit) for digit in (3, 4)]
        >>> sorted(algorithm.loss(torch.rand(2, 3, 32, 32), samples))
        ['distill.loss_kd', 'student.loss']
    """

    def __init__(
        self,
        distiller: dict,
        teacher: Union[BaseModel, dict],
        teacher_ckpt: Optional[str] = None,
        teacher_trainable: bool = False,
        teacher_norm_eval: bool = True,
        teacher_module_inplace: bool = False,
        teacher_fold_bn: bool = False,
        teacher_channels_last: bool = False,
        teacher_autocast_dtype: Optional[str] = None,
        teacher_compile: Union[bool, dict] = False,
        **kwargs: Any,
    ) -> None:
        for name, value, valid in (
            ('teacher_trainable', teacher_trainable, False),
            ('teacher_norm_eval', teacher_norm_eval, True),
        ):
            if value is not valid:
                raise ValueError(
                    f'{name} of FrozenTeacherDistill should be {valid}, but '
                    f'got {value}: to train the teacher too, take '
                    'mmrazor.SingleTeacherDistill'
                )
        for name, value in (
            ('teacher_fold_bn', teacher_fold_bn),
            ('teacher_channels_last', teacher_channels_last),
        ):
            if not isinstance(value, bool):
                raise ValueError(
                    f'{name} should be True or False, but got {value!r}'
                )
        self._check_speedups(teacher_autocast_dtype, teacher_compile)
        super().__init__(
            distiller=distiller,
            teacher=teacher,
            teacher_module_inplace=True,  # see below
            **kwargs,
        )
        # In __dict__ it is an attribute, but no child.
        self.__dict__['teacher'] = self._modules.pop('teacher')
        self._moves_teacher = True
        self._load_weights(teacher_ckpt, is_new=isinstance(teacher, dict))
        self.register_buffer('teacher_digest', digest(self.teacher))
        self._saved_digest: Optional[Tensor] = None
        self.teacher_ckpt = teacher_ckpt
        self.teacher.requires_grad_(False)
        self.teacher.eval()

        self.teacher_module_inplace = teacher_module_inplace
        self.teacher_fold_bn = teacher_fold_bn
        self.teacher_channels_last = teacher_channels_last
        self.teacher_autocast_dtype = teacher_autocast_dtype
        self.teacher_compile = teacher_compile
        self._inplace_names = (
            []
            if teacher_module_inplace
            else [
                name
                for name, module in self.teacher.named_modules()
                if getattr(module, 'inplace', False) is True
            ]
        )
        self._set_inplace(False)
        # How the teacher is run, once the first batch has told.
        self._teacher_mode: Optional[str] = None

    @staticmethod
    def _check_speedups(
        autocast_dtype: Optional[str], compile_cfg: Union[bool, dict]
    ) -> None:
        """Raise if a way to speed the teacher up is not there."""
        if autocast_dtype is not None:
            if autocast_dtype not in AUTOCAST_DTYPES:
                raise ValueError(
                    'teacher_autocast_dtype should be one of '
                    f'{", ".join(AUTOCAST_DTYPES)}, or None, but got '
                    f'{autocast_dtype!r}'
                )
            check_autocast(get_device(), autocast_dtype)
        if not isinstance(compile_cfg, (bool, dict)):
            raise ValueError(
                'teacher_compile should be a bool or a dict of '
                f'arguments, but got {compile_cfg!r}'
            )
        if compile_cfg is False:
            return
        if not hasattr(nn.Module, 'compile'):
            raise ValueError(
                'teacher_compile needs torch >= 2.2, but this '
                f'is torch {torch.__version__}'
            )
        try:
            torch.compile(nn.Identity(), **_compile_arguments(compile_cfg))
        # A backend that is unknown, an argument, or this very Python
        except Exception as error:
            raise ValueError(
                f'teacher_compile={compile_cfg!r} is not what '
                f'torch.compile takes here: {error}'
            ) from error

    def _load_weights(self, teacher_ckpt: Optional[str], is_new: bool) -> None:
        """Load or initialise the weights of the teacher."""
        init_cfg = self.teacher.init_cfg
        if (
            teacher_ckpt is None
            and isinstance(init_cfg, dict)
            and type_name(init_cfg) in ('Pretrained', 'PretrainedInit')
            and init_cfg.get('prefix') is None
        ):
            teacher_ckpt = init_cfg['checkpoint']
        if teacher_ckpt:
            load_teacher(self.teacher, teacher_ckpt)
        elif is_new:
            # It has to draw no numbers that the student would have drawn.
            with torch.random.fork_rng(devices=[]):
                self.teacher.init_weights()

    def check_teacher(self) -> None:
        """Check that the teacher is that of the checkpoint that was loaded.

        Raises:
            ValueError: If it is another one.
        """
        if self._saved_digest is None:
            return
        ours, theirs = (
            bytes(values.tolist()).hex()[:12]
            for values in (self.teacher_digest, self._saved_digest)
        )
        raise ValueError(
            'A run should go on with the teacher that it began with, but its '
            f'checkpoint is of the teacher with digest {theirs}..., and '
            f'teacher_ckpt={self.teacher_ckpt!r} has {ours}.... Put the file '
            'back. To go on from the student with another teacher, start a '
            'new run, not with load_from, but with architecture.init_cfg='
            'dict(type="Pretrained", checkpoint="..._student.pth").'
        )

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Get the depth of a parameter, for MMPretrain's layer-wise decay of
        the learning rate.

        Args:
            param_name (str): Name of a parameter of the algorithm. The
                student tells the depth of its own; the heads learn as its
                deepest layer does.

        Returns:
            tuple[int, int]: The depth, and the largest depth.

        Raises:
            NotImplementedError: If the student doesn't tell.
        """
        if not hasattr(self.student, 'get_layer_depth'):
            raise NotImplementedError(
                'Layer-wise decay of the learning rate needs a student with '
                f'get_layer_depth, but {type(self.student).__name__} has '
                'none: leave out layer_decay_rate and the constructor of '
                'optim_wrapper'
            )
        if param_name.startswith(STUDENT_PREFIX):
            param_name = param_name[len(STUDENT_PREFIX) :]
        return self.student.get_layer_depth(param_name)

    def loss(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]] = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            batch_inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Their labels.

        Returns:
            dict[str, Tensor]: Losses of the student and of the distillation.

        Raises:
            ValueError: If the teacher has changed since the checkpoint that
                was loaded, or a recorder of the teacher records nothing.
        """
        self.check_teacher()
        deliveries = self.distiller.deliveries
        self.distiller.set_deliveries_override(False)
        if not self.distillation_stopped or deliveries.deliveries:
            if self._teacher_mode is None:
                self._prepare_teacher(batch_inputs, data_samples)
            self._run_teacher(batch_inputs, data_samples)

        self.distiller.set_deliveries_override(True)
        with (
            self.distiller.student_recorders,
            deliveries,
            torch.set_grad_enabled(
                torch.is_grad_enabled()
                and (self.student_trainable or self.calculate_student_loss)
            ),
        ):
            student_losses = self.student(
                batch_inputs, data_samples, mode='loss'
            )

        losses = dict()
        if self.calculate_student_loss:
            losses.update(add_prefix(student_losses, 'student'))
        if not self.distillation_stopped:
            losses.update(
                add_prefix(self.distiller.compute_distill_losses(), 'distill')
            )
        for manager in (
            self.distiller.student_recorders,
            self.distiller.teacher_recorders,
        ):
            for recorder in manager.recorders.values():
                recorder.reset_data_buffer()
        return losses

    def train(self, mode: bool = True) -> 'FrozenTeacherDistill':
        """Set the mode of student and distiller; the teacher stays in eval.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            FrozenTeacherDistill: Itself.
        """
        super().train(mode)
        self.teacher.eval()
        return self

    def _apply(self, *args, **kwargs) -> 'FrozenTeacherDistill':
        super()._apply(*args, **kwargs)
        if self._moves_teacher:
            self.teacher._apply(*args, **kwargs)
        return self

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacherDistill':
        """Copy all but the teacher and what records in it."""
        for shared in (self.teacher, self.distiller.teacher_recorders):
            memo[id(shared)] = shared
        memo[id(self)] = copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        # An averaged model may live on another device.
        copied._moves_teacher = False
        return copied

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Load, and note whether the teacher was another one."""
        theirs = f'{prefix}teacher.'
        weights = {
            name[len(theirs) :]: state_dict.pop(name)
            for name in list(state_dict)
            if name.startswith(theirs)
        }
        if weights:  # of MMRazor's algorithm
            self._replace_teacher(weights)
        name = f'{prefix}teacher_digest'
        ours = self.teacher_digest.clone()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        is_same = torch.equal(self.teacher_digest, ours)
        self._saved_digest = None if is_same else state_dict[name].cpu()
        self.teacher_digest.copy_(ours)

    def _replace_teacher(self, weights: dict[str, Tensor]) -> None:
        """Load other weights into the teacher."""
        if self._teacher_mode is not None:
            raise ValueError(
                'The teacher can be loaded before its first '
                'batch, but not any more: it may be folded'
            )
        load_teacher_weights(self.teacher, weights, 'the checkpoint')
        self.teacher_digest.copy_(digest(self.teacher))

    def _run_teacher(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]],
    ) -> None:
        """Run the teacher and record."""
        recorders = self.distiller.teacher_recorders
        with (
            recorders,
            self.distiller.deliveries,
            torch.no_grad(),
            self._autocast(),
        ):
            self.teacher(batch_inputs, data_samples, mode=self._teacher_mode)
        if self.teacher_autocast_dtype or self.teacher_channels_last:
            for held in self._held_data():
                data = apply_to(list(held), _is_activation, self._restore)
                held.clear()
                held.extend(data)

    def _held_data(self) -> list[Any]:
        """What the recorders and deliveries of the teacher hold, as the
        lists and queues that hold it."""
        distiller = self.distiller
        return [
            recorder.data_buffer
            for recorder in distiller.teacher_recorders.recorders.values()
        ] + [
            delivery.data_queue
            for delivery in distiller.deliveries.deliveries.values()
        ]

    @property
    def _teacher_device(self) -> str:
        """str: Type of the device of the teacher."""
        return next(self.teacher.parameters()).device.type

    def _autocast(self) -> ContextManager:
        """Context of the type in which the teacher computes."""
        if self.teacher_autocast_dtype is None:
            return nullcontext()
        return torch.autocast(
            self._teacher_device,
            dtype=getattr(torch, self.teacher_autocast_dtype),
        )

    def _restore(self, recorded: Tensor) -> Tensor:
        """Give a recorded tensor the type and layout of the student's."""
        if self.teacher_autocast_dtype:
            recorded = recorded.float()
        return recorded.contiguous()

    def _prepare_teacher(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]],
    ) -> None:
        """Choose how the teacher is run, and speed it up, by a batch."""
        dtype, self.teacher_autocast_dtype = self.teacher_autocast_dtype, None
        record = partial(self._record, batch_inputs, data_samples)
        with torch.autocast(self._teacher_device, enabled=False), _no_tf32():
            self._teacher_mode = 'loss'
            try:
                reference = record()
            # A network that can't be trained, such as MMPretrain's
            # EfficientFormer, can teach all the same.
            except Exception as error:
                self._teacher_mode = 'tensor'
                reference = record()
                print_log(
                    'The teacher has no task loss, and needs none '
                    f'({type(error).__name__}: {error})',
                    'current',
                )
            check = partial(self._try, record, reference)
            if self._teacher_mode == 'loss':
                check(
                    'going without its task loss',
                    self._skip_loss,
                    logging.INFO,
                )
            if self._inplace_names:
                check(
                    'in-place activations',
                    partial(self._set_inplace, True),
                    logging.INFO,
                )
            if self.teacher_fold_bn:
                check('teacher_fold_bn', partial(self._fold_bn, record))
            if self.teacher_channels_last:
                check('teacher_channels_last', self._set_channels_last)
            if self.teacher_compile is not False:
                check('teacher_compile', self._compile, may_fail=False)
        self.teacher_autocast_dtype = dtype
        if dtype is not None:
            check_autocast(self._teacher_device, dtype)

    def _record(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]],
    ) -> list[Tensor]:
        """Run the teacher for a look at what is recorded.

        Returns:
            list[Tensor]: The recorded and delivered tensors, and last the
            inputs, which the teacher could change as well.

        Raises:
            ValueError: If a recorder has recorded nothing.
        """
        inputs = copy.deepcopy(batch_inputs)
        try:
            self._run_teacher(inputs, data_samples)
            self._check_recorded()
            return list(_tensors([*map(list, self._held_data()), inputs]))
        finally:  # a queue that is full takes no more
            for delivery in self.distiller.deliveries.deliveries.values():
                delivery.data_queue.clear()

    def _check_recorded(self) -> None:
        """Raise if a recorder of the teacher has not what the losses read."""
        recorders = self.distiller.teacher_recorders.recorders
        counts = dict.fromkeys(recorders, 1)
        for mapping in self.distiller.loss_forward_mappings.values():
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

    def _try(
        self,
        record: Callable[[], list[Tensor]],
        reference: list[Tensor],
        name: str,
        change: Callable[[], Undo],
        level: int = logging.WARNING,
        may_fail: bool = True,
    ) -> None:
        """Make a change that should leave the recorded tensors as they are,
        and undo it if it does not."""
        undo = None
        try:
            undo = change()
            difference = largest_difference(record(), reference)
            if difference <= TOLERANCE:
                return
            reason = (
                f'it would change what is recorded by {difference:.1e} '
                'of its largest value'
            )
        # Not every network is built as it takes.
        except Exception as error:
            if not may_fail:
                raise
            reason = f'{type(error).__name__}: {error}'
        if undo is not None:
            undo()
        print_log(f'Off for the teacher: {name}; {reason}', 'current', level)

    def _skip_loss(self) -> Undo:
        """Go without the task loss of the teacher."""

        def undo() -> None:
            self._teacher_mode = 'loss'

        self._teacher_mode = 'tensor'
        return undo

    def _compile(self) -> Undo:

        def undo() -> None:
            self.teacher._compiled_call_impl = None

        self.teacher.compile(**_compile_arguments(self.teacher_compile))
        return undo

    def _set_inplace(self, inplace: bool) -> Undo:
        """Set the activations of the teacher that were built in-place."""
        for name in self._inplace_names:
            self.teacher.get_submodule(name).inplace = inplace
        return partial(self._set_inplace, not inplace)

    def _fold_bn(self, record: Callable[[], list[Tensor]]) -> Undo:
        """Fold the batch norms of the teacher that are not recorded."""
        sources = [
            source
            for recorder in self.distiller.teacher_recorders.recorders.values()
            for source in getattr(recorder, 'sources', [recorder.source])
        ]
        pairs = find_foldable(self.teacher, record, sources)
        if not pairs:
            raise ValueError('no batch norm follows a convolution')
        return fold(self.teacher, pairs)

    def _set_channels_last(self) -> Undo:
        self.teacher.to(memory_format=torch.channels_last)
        return partial(self.teacher.to, memory_format=torch.contiguous_format)
