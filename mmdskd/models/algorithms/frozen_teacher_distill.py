"""MMRazor's distillation with a teacher that is frozen."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Optional, Union

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.utils import add_prefix
from torch import Tensor

from mmdskd.models.utils.teacher_preprocessor import (
    check_arguments,
    make_teacher_preprocessor,
    prepare_for_teacher,
)
from mmdskd.models.utils.teacher_speedups import check_speedups
from mmdskd.models.utils.teacher_weights import (
    check_frozen,
    digest,
    init_teacher,
    load_teacher_weights,
    pop_teacher,
    refuse_other_teacher,
)
from mmdskd.registry import MODELS

from .outside_teacher import OutsideTeacher
from .student_forward import (
    get_student_layer_depth,
    has_labels,
    has_same_classes,
    record_student,
    without_labels,
)
from .teacher_forward import TeacherForward
from .teacher_records import release_records


@MODELS.register_module()
class FrozenTeacherDistill(OutsideTeacher):
    """MMRazor's ``SingleTeacherDistill`` with a teacher that only teaches.

    It has the same config and gives the same losses, but:

    - The whole teacher is always in eval mode: dropout and drop-path are
      off, not only the updates of its batch norms.
    - It runs without gradients, and without its task loss where the
      recorders don't need that. After ``mmrazor.StopDistillHook`` has stopped
      the distillation, it does not run.
    - Its checkpoint must fit, see :func:`~.teacher_weights.load_teacher`.
      Otherwise, an ``init_cfg`` of type ``Pretrained`` may name it.
    - The teacher lives outside the module tree, so it is absent from
      ``parameters()``, ``state_dict()``, checkpoints and EMA copies. ``to``,
      ``cuda`` and the like move it nevertheless. Copies of the algorithm
      share it, and don't move it.
    - A checkpoint holds the digest of the teacher, ``teacher_digest``;
      training refuses to resume with another teacher. A checkpoint of
      MMRazor's algorithm replaces the teacher by its own.
    - Recorded tensors are released as soon as the losses exist.
    - With ``calculate_student_loss=False`` the images need no labels. The
      teacher needs none if its number of classes is another one.

    The first batch of training checks and enables what speeds the teacher
    up, see :class:`~.teacher_forward.TeacherForward`. In-place activations
    and going without the task loss are always tried; the other speed-ups are
    off by default. In distributed training, rank 0 decides for all ranks.

    Args:
        distiller (dict): Config of the distiller.
        teacher (dict or BaseModel): The teacher, or its config. Without
            ``teacher_ckpt``, it keeps what it brings; the rest is random.
        teacher_ckpt (str, optional): Checkpoint of the teacher, a file or a
            URL. Defaults to None.
        teacher_trainable (bool): Must be False; it is there for the sake of
            MMRazor's configs. Defaults to False.
        teacher_norm_eval (bool): Must be True, likewise. Defaults to True.
        teacher_module_inplace (bool): Whether in-place activations of the
            teacher stay on, even if they change what is recorded. Defaults to
            False.
        teacher_fold_bn (bool): Whether to fold the teacher's batch norms
            into the convolutions before them, except recorded ones.
            Defaults to False.
        teacher_channels_last (bool): Whether to hold the teacher's weights
            in the memory format ``torch.channels_last``. What is recorded is
            contiguous nevertheless. Defaults to False.
        teacher_autocast_dtype (str, optional): Type in which the teacher
            computes what is safe to compute in it, "bfloat16" or "float16".
            What is recorded is float32. Defaults to None: as the training
            does.
        teacher_compile (bool or dict): Whether to compile the teacher, or
            arguments of :func:`torch.compile`. Defaults to False.
        teacher_data_preprocessor (dict, optional): ``mean``, ``std`` and
            ``to_rgb`` that the teacher was trained with, see
            :class:`~.normalization.Normalization`. Defaults to None: it gets
            the images as the student does.
        teacher_input_size (int or Sequence[int], optional): Size of the
            teacher's images, to which those of the student are resized.
            Defaults to None.
        teacher_interpolation (str): How they are resized, see
            :class:`~.teacher_preprocessor.TeacherPreprocessor`. Defaults to
            "bicubic".
        **kwargs: Further arguments of
            :class:`mmrazor.models.SingleTeacherDistill`.

    Attributes:
        teacher (BaseModel): The teacher.
        teacher_forward (TeacherForward): How the teacher is run.
        teacher_preprocessor (TeacherPreprocessor, optional): What turns
            images of the student into those of the teacher.
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
        teacher_data_preprocessor: Optional[dict] = None,
        teacher_input_size: Union[int, Sequence[int], None] = None,
        teacher_interpolation: str = 'bicubic',
        **kwargs: Any,
    ) -> None:
        check_frozen(teacher_trainable, teacher_norm_eval)
        check_speedups(
            teacher_fold_bn,
            teacher_channels_last,
            teacher_autocast_dtype,
            teacher_compile,
        )
        super().__init__(
            distiller=distiller,
            teacher=teacher,
            teacher_module_inplace=True,  # see below
            **kwargs,
        )
        self.teacher_preprocessor = make_teacher_preprocessor(
            self.data_preprocessor,
            dict(
                teacher_data_preprocessor=teacher_data_preprocessor,
                teacher_input_size=teacher_input_size,
                teacher_interpolation=teacher_interpolation,
            ),
        )
        # In __dict__ it is an attribute, but no child.
        self.__dict__['teacher'] = self._modules.pop('teacher')
        self._moves_teacher = True
        cfg = self.network_configs.get('teacher')
        init_teacher(self.teacher, teacher_ckpt, cfg)
        self.register_buffer('teacher_digest', digest(self.teacher))
        self._saved_digest: Optional[Tensor] = None
        self.teacher_ckpt = teacher_ckpt
        self.teacher.requires_grad_(False)
        self.teacher.eval()
        self.teacher_module_inplace = teacher_module_inplace
        self.teacher_forward = TeacherForward(
            self.teacher,
            self.distiller,
            module_inplace=teacher_module_inplace,
            fold_bn=teacher_fold_bn,
            channels_last=teacher_channels_last,
            autocast_dtype=teacher_autocast_dtype,
            compile_cfg=teacher_compile,
            has_task=has_same_classes(self.student, self.teacher),
        )

    check_together = staticmethod(check_arguments)

    def check_teacher(self) -> None:
        """Check that the teacher is that of the checkpoint that was loaded.

        Raises:
            ValueError: If it is another one.
        """
        if self._saved_digest is not None:
            refuse_other_teacher(
                self.teacher_digest, self._saved_digest, self.teacher_ckpt
            )

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Get the depth of a parameter, for MMPretrain's layer-wise decay.

        Args:
            param_name (str): Name of a parameter of the algorithm. The
                student tells the depth of its own; the heads learn as its
                deepest layer does.

        Returns:
            tuple[int, int]: The depth, and the largest depth.

        Raises:
            NotImplementedError: If the student doesn't tell.
        """
        return get_student_layer_depth(self.student, param_name)

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
            images = prepare_for_teacher(self, batch_inputs)
            self.teacher_forward(images, data_samples)

        student_losses = record_student(self, batch_inputs, data_samples)
        losses = {}
        if self.calculate_student_loss:
            losses.update(add_prefix(student_losses, 'student'))
        if not self.distillation_stopped:
            with (
                nullcontext()
                if has_labels(data_samples)
                else without_labels(self.distiller)
            ):
                distill_losses = self.distiller.compute_distill_losses()
            losses.update(add_prefix(distill_losses, 'distill'))
        release_records(self.distiller)
        return losses

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load, and note whether the teacher was another one."""
        weights = pop_teacher(state_dict, f'{prefix}teacher.')
        if weights:  # of MMRazor's algorithm
            if self.teacher_forward.is_prepared:
                raise ValueError(
                    'The teacher can be loaded before its first '
                    'batch, but not any more: it may be folded'
                )
            load_teacher_weights(self.teacher, weights, 'the checkpoint')
            self.teacher_digest.copy_(digest(self.teacher))
        name = f'{prefix}teacher_digest'
        ours = self.teacher_digest.clone()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        is_same = torch.equal(self.teacher_digest, ours)
        self._saved_digest = None if is_same else state_dict[name].cpu()
        self.teacher_digest.copy_(ours)
