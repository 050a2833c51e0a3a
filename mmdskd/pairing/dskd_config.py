"""Write the config of a DSKD training for any student and teacher."""

import os.path as osp
from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from yapf.yapflib.yapf_api import FormatCode

from mmdskd.analysis.flops import count_flops
from mmdskd.export.plain_model import make_plain_model
from mmdskd.utils.config import add_import
from mmdskd.utils.text import format_header, format_row, shorten

from .auto import build_plain
from .branch_plan import infer_branches
from .config_text import STYLE, _comment, _feature_comments, _source, _split
from .head_cost import HEAD_SHARE, HEADER, MIN_HEAD_WIDTH, Head
from .image_shape import find_image_shape
from .network_outline import NetworkOutline
from .source_config import Source, _preprocessor, choose_data, scope_of


class DSKDConfig:
    """A DSKD training of a student by a teacher, made from their configs.

    Args:
        student (Source): The student.
        teacher (Source): The teacher.
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

    Attributes:
        plan (BranchPlan): Where the branches attach.
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
        student: Source,
        teacher: Source,
        branches: Union[int, Sequence[str], None] = None,
        teacher_ckpt: Optional[str] = None,
        dataset_from: Optional[str] = None,
        image_shape: Optional[tuple[int, int, int]] = None,
        teacher_feature: Optional[str] = None,
        student_logits: Optional[str] = None,
        teacher_logits: Optional[str] = None,
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.data = choose_data(student, teacher, dataset_from)
        self.image_shape = image_shape or find_image_shape(self.data.cfg)
        if self.image_shape is None:
            raise ValueError(
                f'{self.data.path} does not tell the shape of the images: no '
                'crop, resize or known data set in it; give it by --shape '
                'C,H,W'
            )
        self.teacher_ckpt = (
            teacher_ckpt
            or teacher.checkpoint
            or (
                f'work_dirs/{teacher.name}/epoch_'
                f'{teacher.cfg.get("train_cfg", {}).get("max_epochs", "N")}.pth'
            )
        )
        networks = [
            build_plain(source.cfg.model, scope_of(source))
            for source in (student, teacher)
        ]
        self.plan = infer_branches(
            *networks, self.image_shape, branches, teacher_feature
        )
        self.logits = [
            find_logits(outline, name, option)
            for outline, name, option in (
                (self.plan.student, student_logits, '--student-logits'),
                (self.plan.teacher, teacher_logits, '--teacher-logits'),
            )
        ]
        self.student_flops = self._count_student()
        self.head: Optional[dict] = None
        self.heads = self._count_heads()
        self._narrow_heads()

    def _count_student(self) -> Optional[int]:
        network = self.plan.student.network.eval()
        try:
            return count_flops(network, torch.zeros(1, *self.image_shape))
        # Tracing by torch.jit does not take every network.
        except Exception:
            return None

    def _count_heads(self) -> list[Head]:
        from mmdskd.models import DSKDConnector

        connector = DSKDConnector(**self.plan.connector, head=self.head).eval()
        return [
            Head(
                sum(p.numel() for p in head.parameters()),
                count_flops(
                    head, torch.zeros(1, feature.channels, *feature.grid)
                ),
            )
            for head, feature in zip(connector.heads, self.plan.branches)
        ]

    def _narrow_heads(self) -> None:
        """Make the heads no dearer than they need to be."""
        channels = self.plan.target.channels
        width = channels // 2
        while (
            self.student_flops
            and width > MIN_HEAD_WIDTH
            and sum(head.flops for head in self.heads)
            > HEAD_SHARE * self.student_flops
        ):
            width = max(width // 2, MIN_HEAD_WIDTH)
            self.head = dict(
                type='mmdskd.SepConvHead', bottleneck_ratio=width / channels
            )
            self.heads = self._count_heads()

    @property
    def table(self) -> str:
        """str: The branches and what their heads cost, in Markdown."""

        def row(name: str, shape: str, heads: Sequence[Head]) -> str:
            flops = sum(head.flops for head in heads)
            share = (
                f'{flops / self.student_flops:.0%}'
                if self.student_flops
                else '?'
            )
            parameters = sum(head.parameters for head in heads)
            return format_row(
                (
                    name,
                    shape,
                    f'{parameters:,}',
                    f'{flops / 1e6:,.1f} M',
                    share,
                )
            )

        rows = [
            row(f'`{feature.name}`', feature.shape, [head])
            for feature, head in zip(self.plan.branches, self.heads)
        ]
        return '\n'.join(
            [
                format_header(HEADER),
                *rows,
                row('all', f'to {self.plan.target.shape}', self.heads),
            ]
        )

    @property
    def warnings(self) -> list[str]:
        """list[str]: What the user should know."""
        found = []
        means = [
            _preprocessor(source.cfg).get(key)
            for key in ('mean', 'std')
            for source in (self.student, self.teacher)
        ]
        if means[0] != means[1] or means[2] != means[3]:
            found.append(
                'student and teacher were made for images that are '
                f'normalised in different ways (mean {means[0]} and '
                f'{means[1]}, std {means[2]} and {means[3]}); both will get '
                f'those of {self.data.name}: take a teacher that was trained '
                'with them, or train it so'
            )
        shape = find_image_shape(self.data.cfg)
        if shape not in (None, self.image_shape):
            found.append(
                f'the data of {self.data.path} have the shape {shape}, not '
                f'{self.image_shape}, for which this config is: change their '
                'crop and resize'
            )
        if '://' not in self.teacher_ckpt and not osp.isfile(
            self.teacher_ckpt
        ):
            found.append(
                f'the checkpoint of the teacher, {self.teacher_ckpt}, is not '
                f'there yet: train it by tools/train.py {self.teacher.path}, '
                'or name another one in teacher_ckpt'
            )
        return found

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
        imports = dict(
            add_import(self.data.cfg.get('custom_imports')),
            allow_failed_imports=False,
        )
        parts = [
            _comment(
                f'DSKD of {self.teacher.name} to {self.student.name}, '
                'for images of '
                f'{"x".join(map(str, self.image_shape))}; made by '
                'tools/misc/make_dskd_config.py.'
            ),
            f'_base_ = {base!r}\ncustom_imports = {_source(imports)}',
            *(
                _comment(f'From {source.path}')
                + f'\n{role} = {_source(self._plain_model(source))}'
                for role, source in (
                    ('student', self.student),
                    ('teacher', self.teacher),
                )
            ),
            *self._data_preprocessor(),
            f'model = {self._model()}',
            f'custom_hooks = {_source(self._hooks())}',
        ]
        text, _ = FormatCode('\n\n'.join(parts), style_config=STYLE)
        return text

    @staticmethod
    def _plain_model(source: Source) -> dict:
        """Model of a config, without what an algorithm takes no notice of."""
        model = make_plain_model(source.cfg.model.to_dict(), scope_of(source))
        for key in ('data_preprocessor', 'train_cfg'):
            model.pop(key, None)
        return {'_scope_': model.pop('_scope_'), **model}

    def _data_preprocessor(self) -> list[str]:
        """Set what the classifier of MMPretrain sets by itself."""
        ours = dict(_preprocessor(self.data.cfg))
        given = self.data.cfg.get('data_preprocessor') or {}
        changes = {
            key: value
            for key, value in ours.items()
            if given.get(key) != value
        }
        if 'type' not in ours:
            changes['type'] = 'mmpretrain.ClsDataPreprocessor'
        elif '.' not in ours['type']:
            changes['type'] = f'{scope_of(self.data)}.{ours["type"]}'
        augments = self.student.cfg.model.get('train_cfg')
        if augments and augments.get('augments'):
            changes['batch_augments'] = augments.to_dict()
        if not changes:
            return []
        comment = 'An algorithm of MMRazor needs the type.'
        if 'batch_augments' in changes:
            comment += (
                ' The batch augmentations of the student belong here: '
                'those of a model within an algorithm are not used.'
            )
        return [f'{_comment(comment)}\ndata_preprocessor = {_source(changes)}']

    def _hooks(self) -> list[dict]:
        theirs = self.data.cfg.get('custom_hooks') or []
        return [
            *(hook.to_dict() for hook in theirs),
            dict(
                type='mmdskd.LossWeightSchedulerHook',
                loss='loss_dskd',
                strategy='softmax',
                ema_decay=0.9,
                interval=1,
            ),
            dict(type='mmdskd.StudentCheckpointHook'),
            dict(type='mmdskd.TeacherEvaluationHook'),
        ]

    def _model(self) -> str:
        """Write the algorithm."""
        student_recorders, teacher_recorders, connectors, mapping = (
            self._wiring()
        )
        kl = _source(dict(type='KLDivergence', tau=4, loss_weight=1.0))
        mse = _source(
            dict(
                type='L2Loss',
                normalize=False,
                div_element=True,
                loss_weight=1.0,
            )
        )
        parameters = sum(head.parameters for head in self.heads)
        return f"""dict(
    _delete_=True,
    type='mmdskd.FrozenTeacherDistill',
    _scope_='mmrazor',
    architecture=student,
    teacher=teacher,
    teacher_ckpt={_split(self.teacher_ckpt)},
    distiller=dict(
        type='ConfigurableDistiller',
        # Shallow layers that are supervised:
{_feature_comments(self.plan.branches)}
        student_recorders={_source(student_recorders)},
        # What supervises them, beside the logits:
{_feature_comments([self.plan.target])}
        teacher_recorders={_source(teacher_recorders)},
        # {parameters:,} parameters, in training only
        connectors={_source(connectors)},
        distill_losses=dict(
            loss_kd={kl},
            loss_dskd=dict(
                type='mmdskd.DSKDLoss',
                num_branches={len(self.plan.branches)},
                logit_loss={kl},
                feat_loss={mse})),  # = MSE
        loss_forward_mappings={_source(mapping)}))"""

    def _wiring(self) -> tuple[dict, dict, dict, dict]:
        """Recorders, connectors and what the losses get."""
        plan = self.plan
        student_recorders = dict(
            shallow=dict(
                type='mmdskd.MultiModuleOutputs', sources=plan.sources
            ),
            logits=dict(type='ModuleOutputs', source=self.logits[0]),
        )
        teacher_recorders = dict(
            feat=dict(type='ModuleOutputs', source=plan.target.name),
            logits=dict(type='ModuleOutputs', source=self.logits[1]),
        )
        connectors: dict[str, Any] = dict(
            heads=dict(type='mmdskd.DSKDConnector', **plan.connector)
        )
        preds_T = dict(from_student=False, recorder='logits')
        dskd: dict[str, Any] = dict(
            branches=dict(
                from_student=True, recorder='shallow', connector='heads'
            ),
            preds_T=preds_T,
            feat_T=dict(from_student=False, recorder='feat'),
        )
        if self.head:
            connectors['heads']['head'] = self.head
        if plan.target.layout.order != 'NCHW':
            connectors['teacher_map'] = dict(
                type='mmdskd.FeatureMapConnector',
                layout=plan.target.layout.config,
            )
            dskd['feat_T']['connector'] = 'teacher_map'
        if 'head.loss_module' in plan.student.module_names:
            student_recorders['gt_labels'] = dict(
                type='ModuleInputs', source='head.loss_module'
            )
            dskd['gt_labels'] = dict(
                from_student=True, recorder='gt_labels', data_idx=1
            )
        kd = dict(
            preds_S=dict(from_student=True, recorder='logits'), preds_T=preds_T
        )
        return (
            student_recorders,
            teacher_recorders,
            connectors,
            dict(loss_kd=kd, loss_dskd=dskd),
        )


def find_logits(
    outline: NetworkOutline, name: Optional[str], option: str
) -> str:
    """Find the module that returns the logits, or check the one given.

    Args:
        outline (NetworkOutline): The network.
        name (str, optional): Name of the module. None finds it.
        option (str): How it can be given, for the message.

    Returns:
        str: Its name.

    Raises:
        ValueError: If it is not clear, or the module does not return (N, K).
    """
    found = name or outline.logits
    if found is None or found not in outline.logits_like:
        raise ValueError(
            f'A module of {outline.name} should return the logits '
            f'(N, {outline.num_classes}), but '
            f'{"none does" if name is None else f"{name!r} does not"}: give '
            f'{option} NAME; modules that return this shape are '
            f'{shorten(outline.logits_like, 30)}'
        )
    return found
