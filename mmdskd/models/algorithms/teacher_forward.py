"""How a frozen teacher is run."""

import copy
import logging
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Callable, Optional, Union

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor, nn

from mmdskd.models.utils.fold_bn import find_foldable, fold
from mmdskd.models.utils.teacher_speedups import (
    attempt,
    check_autocast,
    compile_arguments,
    describe,
    largest_difference,
    no_tf32,
    on_any_rank,
)

from .student_forward import find_modes
from .teacher_records import (
    check_recorded,
    find_held,
    find_nested_tensors,
    find_sources,
    is_activation,
)

#: A function that reverts a change of the teacher.
Undo = Callable[[], object]

# Largest difference of what the teacher gives when it is sped up, over the
# largest value of it.
TOLERANCE = 1e-3


class TeacherForward:
    """Runs a frozen teacher while the recorders of a distiller observe it.

    The first batch decides how: it shows whether the teacher needs its task
    loss, and tries each speed-up. A speed-up that changes the recorded or
    delivered tensors by more than a thousandth of their largest value is
    undone. Half precision is not checked in this way.

    In distributed training all ranks run the teacher alike. Rank 0 judges
    whether a speed-up is exact enough; if a speed-up raises an error on any
    rank, no rank keeps it. So all ranks must run their first batch together.

    Args:
        teacher (nn.Module): The teacher, in eval mode.
        distiller (ConfigurableDistiller): MMRazor's distiller.
        module_inplace (bool): Whether in-place activations stay as they are.
            Otherwise they are off at first, and the first batch tries them.
            Defaults to False.
        fold_bn (bool): Whether to fold batch norms. Defaults to False.
        channels_last (bool): Whether to hold the weights in the memory format
            ``torch.channels_last``. Defaults to False.
        autocast_dtype (str, optional): "bfloat16" or "float16" to compute in
            half precision. Defaults to None.
        compile_cfg (bool or dict): Whether to compile the teacher, or
            arguments of :func:`torch.compile`. Defaults to False.
        has_task (bool): Whether the labels of the student are those of the
            teacher. Otherwise it goes without its task loss. Defaults to
            True.

    Attributes:
        mode (str): Mode of the teacher's forward, "loss" or "tensor".
        is_prepared (bool): Whether the first batch has decided.
    """

    def __init__(
        self,
        teacher: nn.Module,
        distiller: ConfigurableDistiller,
        module_inplace: bool = False,
        fold_bn: bool = False,
        channels_last: bool = False,
        autocast_dtype: Optional[str] = None,
        compile_cfg: Union[bool, dict] = False,
        has_task: bool = True,
    ) -> None:
        self.has_task = has_task
        self.teacher = teacher
        self.distiller = distiller
        self.fold_bn = fold_bn
        self.channels_last = channels_last
        self.autocast_dtype = autocast_dtype
        self.compile_cfg = compile_cfg
        self.mode = 'loss'
        self.is_prepared = False
        self._inplace_names = (
            []
            if module_inplace
            else [
                name
                for name, module in teacher.named_modules()
                if getattr(module, 'inplace', False) is True
            ]
        )
        self._set_inplace(False)

    def __call__(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]] = None,
    ) -> None:
        """Run the teacher without gradients, and record.

        Args:
            batch_inputs (Tensor): Images, (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Their labels.

        Raises:
            ValueError: If a recorder of the teacher records nothing.
            RuntimeError: If the first batch fails on another rank only.
        """
        if not self.is_prepared:
            self._prepare(batch_inputs, data_samples)
        self.run(batch_inputs, data_samples)

    def run(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]],
    ) -> None:
        """Run the teacher as it is, and record; arguments as above."""
        with (
            self.distiller.teacher_recorders,
            self.distiller.deliveries,
            torch.no_grad(),
            self._autocast(),
        ):
            self.teacher(batch_inputs, data_samples, mode=self.mode)
        if self._dtype is not None or self.channels_last:
            for held in find_held(self.distiller):
                data = apply_to(list(held), is_activation, self._restore)
                held.clear()
                held.extend(data)

    @property
    def _device(self) -> str:
        """str: Type of the device of the teacher."""
        return next(self.teacher.parameters()).device.type

    @property
    def _dtype(self) -> Optional[str]:
        """str or None: Type of half precision; none in the first look."""
        return self.autocast_dtype if self.is_prepared else None

    def _autocast(self) -> AbstractContextManager:
        """Make a context of the type in which the teacher computes."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, dtype=getattr(torch, self._dtype))

    def _restore(self, recorded: Tensor) -> Tensor:
        """Give a recorded tensor the type and layout of the student's."""
        if self._dtype is not None:
            recorded = recorded.float()
        return recorded.contiguous()

    def _prepare(
        self,
        batch_inputs: Tensor,
        data_samples: Optional[list[BaseDataElement]],
    ) -> None:
        """Choose how the teacher is run, and speed it up, by a batch."""
        record = partial(self._record, batch_inputs, data_samples)
        with torch.autocast(self._device, enabled=False), no_tf32():
            check = partial(
                self._try, record, self._find_mode(record, data_samples)
            )
            if self.mode == 'loss':
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
            if self.fold_bn:
                check('teacher_fold_bn', partial(self._fold_bn, record))
            if self.channels_last:
                check('teacher_channels_last', self._set_channels_last)
            if self.compile_cfg is not False:
                check('teacher_compile', self._compile, may_fail=False)
        if self.autocast_dtype is not None:
            check_autocast(self._device, self.autocast_dtype)
        self.is_prepared = True

    def _find_mode(
        self,
        record: Callable[[], list[Tensor]],
        data_samples: Optional[list[BaseDataElement]],
    ) -> list[Tensor]:
        """Find a mode in which the teacher runs; return what it records."""
        reason = None
        for mode in find_modes(self.has_task, data_samples):
            self.mode = mode
            records, error = attempt(record)
            # A network that can't be trained, such as MMPretrain's
            # EfficientFormer, can teach all the same.
            if not on_any_rank(error is not None):
                break
            if mode == 'tensor':
                raise error or RuntimeError(
                    'The teacher fails on another rank'
                )
            reason = describe(error)
        if reason is not None:
            print_log(
                f'The teacher has no task loss, and needs none ({reason})',
                'current',
            )
        return records

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
            self.run(inputs, data_samples)
            check_recorded(self.distiller)
            held = map(list, find_held(self.distiller))
            return list(find_nested_tensors([*held, inputs]))
        finally:  # a queue that is full takes no more
            for delivery in self.distiller.deliveries.deliveries.values():
                delivery.data_queue.clear()

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
        and undo it on all ranks if it does not."""
        undo, error, reason = None, None, None
        try:
            undo = change()
            difference = largest_difference(record(), reference)
            if is_main_process() and not difference <= TOLERANCE:
                reason = (
                    f'it would change what is recorded by {difference:.1e} '
                    'of its largest value'
                )
        # Not every network is built for every change. An error must not keep
        # this rank from the vote: the others would wait for it.
        except Exception as raised:
            error, reason = raised, describe(raised)
        if not on_any_rank(reason is not None):
            return
        if undo is not None:
            undo()
        if not may_fail and on_any_rank(error is not None):
            raise error or RuntimeError(f'{name} fails on another rank')
        print_log(
            f'Off for the teacher: {name}; {reason or describe(None)}',
            'current',
            level,
        )

    def _skip_loss(self) -> Undo:
        """Go without the task loss of the teacher."""
        self.mode = 'tensor'
        return partial(setattr, self, 'mode', 'loss')

    def _compile(self) -> Undo:
        self.teacher.compile(**compile_arguments(self.compile_cfg))
        return partial(setattr, self.teacher, '_compiled_call_impl', None)

    def _set_inplace(self, inplace: bool) -> Undo:
        """Set the activations of the teacher that were built in-place."""
        for name in self._inplace_names:
            activation: Any = self.teacher.get_submodule(name)
            activation.inplace = inplace
        return partial(self._set_inplace, not inplace)

    def _fold_bn(self, record: Callable[[], list[Tensor]]) -> Undo:
        """Fold the batch norms of the teacher that are not recorded."""
        pairs = find_foldable(
            self.teacher, record, find_sources(self.distiller)
        )
        if not pairs:
            raise ValueError('no batch norm follows a convolution')
        return fold(self.teacher, pairs)

    def _set_channels_last(self) -> Undo:
        self.teacher.to(memory_format=torch.channels_last)
        return partial(self.teacher.to, memory_format=torch.contiguous_format)
