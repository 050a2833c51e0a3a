"""Make the config of a DSKD training for any student and teacher."""

import os.path as osp
import tempfile
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from mmengine.config import Config
from torch import nn

from mmdskd.export.plain_model import make_plain_model
from mmdskd.models.utils.teacher_preprocessor import find_teacher_shape

from .algorithm_config import make_algorithm
from .auto import build_plain
from .branch_plan import infer_branches
from .config_text import write_config
from .feature import Feature
from .head_cost import cost_table, count_student, narrow_heads
from .image_shape import find_image_shape
from .inherited import override_base
from .logits import find_logits
from .multi_label import choose_multi_label
from .notes import list_notes
from .source_config import SourceConfig, choose_data
from .teacher_checkpoint import choose_teacher_ckpt
from .teacher_images import InputSize, choose_teacher_images

STUDENT = 'building the student'
TEACHER = 'building the teacher'
BOTH = 'running both once'
COSTS = 'counting what the heads cost'
#: What making a config consists of, and how long each part takes in
#: comparison with the others: shares of large pairs, such as of resnet50 and
#: ViT-L at 224 pixels.
PARTS = {STUDENT: 0.5, TEACHER: 2, BOTH: 6, COSTS: 1}


class DSKDConfig:
    """A DSKD training of a student by a teacher, made from their configs.

    Args:
        student (SourceConfig): The student.
        teacher (SourceConfig): The teacher.
        branches (int or Sequence[str], optional): See
            :func:`~mmdskd.utils.infer_branches`. Defaults to None.
        teacher_ckpt (str, optional): Checkpoint of the teacher. None takes
            the published one, if there is one, or else where our
            ``tools/train.py`` leaves it. Defaults to None.
        dataset_from (str, optional): See :func:`choose_data`. Defaults to
            None.
        image_shape (tuple[int, int, int], optional): Channels, height and
            width of the images. None takes it from the data. Defaults to
            None.
        teacher_feature (str, optional): See
            :func:`~mmdskd.utils.infer_branches`. Defaults to None.
        student_logits (str, optional): Name of the student's module that
            returns the logits. None finds it. Defaults to None.
        teacher_logits (str, optional): The same of the teacher.
        teacher_input_size (int, tuple[int, int] or str, optional): See
            :func:`choose_teacher_images`. Defaults to None.
        begin (Callable, optional): Called with the name of each of
            :data:`PARTS` when it begins. Defaults to None.

    Attributes:
        teacher_images (TeacherImages): What prepares them for the teacher.
        plan (BranchPlan): Where the branches attach.
        multi_label (bool): Whether an image has several labels.
        head (dict, optional): Config of the heads, if not the default.
        heads (list[Head]): What they cost.
        student_flops (int, optional): FLOPs of the student for one image, if
            it can be traced.
        image_shape (tuple[int, int, int]): Shape of an image.

    Raises:
        KeyError: If a module has not the name that is given.
        RuntimeError: If a network does not run on such images.
        ValueError: If something does not fit, or can't be decided.
    """

    def __init__(
        self,
        student: SourceConfig,
        teacher: SourceConfig,
        branches: Union[int, Sequence[str], None] = None,
        teacher_ckpt: Optional[str] = None,
        dataset_from: Optional[str] = None,
        image_shape: Optional[tuple[int, int, int]] = None,
        teacher_feature: Optional[str] = None,
        student_logits: Optional[str] = None,
        teacher_logits: Optional[str] = None,
        teacher_input_size: InputSize = None,
        begin: Optional[Callable[[str], object]] = None,
    ) -> None:
        begin = begin or (lambda part: None)
        self.student = student
        self.teacher = teacher
        self.data = choose_data(student, teacher, dataset_from)
        image_shape = image_shape or find_image_shape(self.data.cfg)
        if image_shape is None:
            raise ValueError(
                f'{self.data.path} does not tell the shape of the images: no '
                'crop, resize or known data set in it; give it by --shape '
                'C,H,W'
            )
        self.image_shape = image_shape
        self.teacher_ckpt = choose_teacher_ckpt(teacher, teacher_ckpt)
        begin(STUDENT)
        network = _build(student)
        begin(TEACHER)
        network_T = _build(teacher)
        self.teacher_images = choose_teacher_images(
            teacher,
            self.data,
            network_T,
            image_shape,
            self.teacher_ckpt is None,
            teacher_input_size,
        )
        begin(BOTH)
        self.plan = infer_branches(
            network,
            network_T,
            image_shape,
            branches,
            teacher_feature,
            find_teacher_shape(self.teacher_images.options, image_shape),
        )
        self.multi_label = choose_multi_label(self.plan, self.data)
        self.logits = [
            find_logits(outline, name, option)
            for outline, name, option in (
                (self.plan.student, student_logits, '--student-logits'),
                (self.plan.teacher, teacher_logits, '--teacher-logits'),
            )
        ]
        begin(COSTS)
        self.student_flops = count_student(network, image_shape)
        self.head, self.heads = narrow_heads(self.plan, self.student_flops)

    @property
    def table(self) -> str:
        """str: The branches and what their heads cost, in Markdown."""
        return cost_table(self.plan, self.heads, self.student_flops)

    @property
    def warnings(self) -> list[str]:
        """list[str]: What the user should know."""
        return list_notes(
            self.student,
            self.teacher,
            self.data,
            self.image_shape,
            self.teacher_ckpt,
            self.plan,
            self.teacher_images,
        )

    def to_text(self, path: str) -> str:
        """Write the config.

        Args:
            path (str): File for which it is, from which ``_base_`` is found.

        Returns:
            str: Its text.
        """
        base = self.data.path
        if '::' not in base:
            base = osp.relpath(base, osp.dirname(osp.abspath(path)))
            base = base.replace('\\', '/')  # of Windows
        models = dict(
            student=_network_config(self.student, keep_weights=True),
            # A checkpoint replaces all of them.
            teacher=_network_config(
                self.teacher, keep_weights=self.teacher_ckpt is None
            ),
        )
        preprocessor = self._data_preprocessor()
        inherited = override_base(self.student, self.teacher, self.data, path)
        variables: dict[str, Any] = dict(
            _base_=base,
            custom_imports=inherited.pop('custom_imports'),
            **models,
            **({'data_preprocessor': preprocessor} if preprocessor else {}),
            model=dict(
                _delete_=True,
                **make_algorithm(
                    self.plan,
                    **models,
                    teacher_ckpt=self.teacher_ckpt,
                    head=self.head,
                    student_logits=self.logits[0],
                    teacher_logits=self.logits[1],
                    multi_label=self.multi_label,
                    teacher_images=self.teacher_images.options,
                ),
            ),
            **inherited,
        )
        parameters = sum(head.parameters for head in self.heads)
        comments = {
            'student': f'From {self.student.path}',
            'teacher': f'From {self.teacher.path}',
            'data_preprocessor': 'An algorithm of MMRazor needs the type.',
            'model.teacher_data_preprocessor': 'The teacher was trained with '
            'these: the images of the student are normalised again for it, '
            'by mmdskd.FrozenTeacherDistill alone.',
            'model.teacher_input_size': 'Size of the images of the teacher, '
            'resized from those of the student.',
            'model.distiller.student_recorders': _list_features(
                'Shallow layers that are supervised:', self.plan.branches
            ),
            'model.distiller.teacher_recorders': _list_features(
                'What supervises them, beside the logits:', [self.plan.target]
            ),
            'model.distiller.connectors': f'{parameters:,} parameters, in '
            'training only',
            'model.distiller.distill_losses.loss_dskd.feat_loss': 'MSE',
        }
        if 'batch_augments' in preprocessor:
            comments['data_preprocessor'] += (
                ' The batch augmentations of the student belong here: those '
                'of a model within an algorithm are not used.'
            )
        title = (
            f'DSKD of {self.teacher.name} to {self.student.name}, for images '
            f'of {"x".join(map(str, self.image_shape))}; made by '
            'tools/misc/make_dskd_config.py.'
        )
        return write_config(variables, comments, title)

    def load(self) -> Config:
        """Read the config back, as a training would.

        Returns:
            Config: The config, with its ``_base_``.
        """
        with tempfile.TemporaryDirectory() as folder:
            # The way from it to ``_base_`` goes by its real place.
            path = osp.join(osp.realpath(folder), 'config.py')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(self.to_text(path))
            return Config.fromfile(path)

    def _data_preprocessor(self) -> dict:
        """Set what the classifier of MMPretrain sets by itself."""
        ours = dict(self.data.preprocessor)
        changes: dict[str, Any] = {}
        if self.data.cfg.model.get('data_preprocessor'):
            # That of the data config is not used then, not even in part.
            changes = dict(ours)
            if self.data.cfg.get('data_preprocessor'):
                changes['_delete_'] = True
        if 'type' not in ours:
            changes['type'] = 'mmpretrain.ClsDataPreprocessor'
        elif '.' not in ours['type']:
            changes['type'] = f'{self.data.scope}.{ours["type"]}'
        augments = self.student.cfg.model.get('train_cfg')
        if augments and augments.get('augments'):
            changes['batch_augments'] = augments.to_dict()
        return changes


def _build(config: SourceConfig) -> nn.Module:
    """Build a network without weights.

    Raises:
        ValueError: If it can't be built.
    """
    try:
        return build_plain(config.cfg.model, config.scope)
    # Whatever it is that its arguments lead to.
    except Exception as error:
        raise ValueError(
            f'model of {config.path} should be built, but '
            f'{type(error).__name__}: {error}'
        ) from error


def _network_config(config: SourceConfig, keep_weights: bool) -> dict:
    """Model of a config, without what an algorithm takes no notice of."""
    model = make_plain_model(
        config.cfg.model.to_dict(), config.scope, keep_weights
    )
    for key in ('data_preprocessor', 'train_cfg'):
        model.pop(key, None)
    return {'_scope_': model.pop('_scope_'), **model}


def _list_features(title: str, features: Sequence[Feature]) -> str:
    lines = [f'  {feature.name}: {feature.shape}' for feature in features]
    return '\n'.join([title, *lines])
