"""Write the config of a DSKD training for any student and teacher."""

import difflib
import os.path as osp
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from .auto import build_plain
from .branch_plan import infer_branches
from .cli import load_config
from .flops import count_flops
from .image_shape import find_image_shape
from .network_outline import Feature, NetworkOutline
from .student import add_import, make_plain_model
from .text import format_header, format_row, shorten

# A head is narrowed until all of them cost no more than this share of the
# student's FLOPs, or it is this wide.
HEAD_SHARE = 0.5
MIN_HEAD_WIDTH = 128
STYLE = (
    '{based_on_style: pep8, split_before_expression_after_opening_paren: true}'
)
HEADER = (
    'branch',
    'feature',
    'head parameters',
    'head FLOPs',
    "of the student's FLOPs",
)


class Source(NamedTuple):
    """Where a student or teacher comes from.

    Attributes:
        name (str): Its name.
        path (str): Config that another one can have as its ``_base_``: a
            file, or ``package::path``.
        cfg (Config): The config.
        checkpoint (str, optional): Published weights, if they are known.
    """

    name: str
    path: str
    cfg: Config
    checkpoint: Optional[str] = None


class Head(NamedTuple):
    """Cost of the head of a branch for one image, in training only.

    Attributes:
        parameters (int): Its parameters.
        flops (int): Its FLOPs, see :func:`count_flops`.
    """

    parameters: int
    flops: int


def load_source(name: str) -> Source:
    """Find a student or teacher.

    Args:
        name (str): A config file, ``package::path``, such as
            "mmpretrain::resnet/resnet18_8xb32_in1k.py", or a name that
            MMPretrain knows, such as "resnet18_8xb32_in1k".

    Returns:
        Source: Its config.

    Raises:
        ValueError: If it is none of these, or not the config of a plain
            network with types as strings.
    """
    # It imports models, which is nothing to be done with `mmdskd`.
    from mmpretrain import list_models
    from mmpretrain.apis.model import ModelHub

    if '::' in name or name.endswith('.py') or osp.isfile(name):
        stem = osp.splitext(osp.basename(name))[0]
        source = Source(stem, name, load_config(name))
        # Its metafile names most models of MMPretrain as their files.
        if name.startswith('mmpretrain::') and stem in list_models():
            source = source._replace(checkpoint=ModelHub.get(stem).weights)
    else:
        names = list_models()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
            raise ValueError(
                'Student and teacher should each be a config file, '
                '"package::path", or a name of mmpretrain.list_models(), but '
                f'{name!r} is none of them; did you mean {shorten(near)}?'
            )
        model = ModelHub.get(name)
        # Where MMEngine finds configs of the package.
        folder, _, path = model.config.filename.rpartition('/.mim/configs/')
        path = f'{osp.basename(folder)}::{path}'
        source = Source(name, path, model.config, model.weights)
    model = source.cfg.get('model')
    if (
        not isinstance(model, dict)
        or 'type' not in model
        or ('architecture' in model)
    ):
        raise ValueError(
            f'{name} should be the config of a plain classifier, but its '
            'model is '
            + (
                'an algorithm with a student and perhaps a '
                'teacher: name the config of one of these'
                if isinstance(model, dict) and 'architecture' in model
                else f'{model}'
            )
        )
    if not isinstance(model['type'], str):
        raise ValueError(
            f'{name} should name types by strings, as the config that is '
            'written does, but it is a pure-Python config, which MMEngine '
            'takes for the _base_ of pure-Python ones only: use '
            'mmdskd.utils.infer_branches, or in_channels="auto"'
        )
    return source


def choose_data(
    student: Source, teacher: Source, dataset_from: Optional[str] = None
) -> Source:
    """Choose the config from which data, schedule and the rest are taken.

    Args:
        student (Source): The student.
        teacher (Source): The teacher.
        dataset_from (str, optional): "student", "teacher", or None for the
            student if both see images of one shape. Defaults to None.

    Returns:
        Source: One of them.

    Raises:
        ValueError: If it has no data, or the shapes differ and there is no
            choice.
    """
    sources = dict(student=student, teacher=teacher)
    if dataset_from is None:
        shapes = [find_image_shape(source.cfg) for source in sources.values()]
        if None not in shapes and shapes[0] != shapes[1]:
            raise ValueError(
                'Student and teacher should see the same images, but '
                f'{student.name} is trained on images of shape {shapes[0]} '
                f'and {teacher.name} on {shapes[1]}: choose by '
                '--dataset-from student or --dataset-from teacher (a network '
                'that takes other sizes does so)'
            )
        dataset_from = 'student'
    chosen = sources[dataset_from]
    if chosen.cfg.get('train_dataloader') is None:
        raise ValueError(
            f'{chosen.path} should have the data to train on '
            '(train_dataloader), but it has none: choose the other one by '
            '--dataset-from'
        )
    return chosen


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


def scope_of(source: Source) -> str:
    """Scope in which a plain config is built.

    Args:
        source (Source): The config.

    Returns:
        str: The scope.
    """
    # Those of MMPretrain without data leave it out.
    package = (
        'mmpretrain' if source.path.startswith('mmpretrain::') else 'mmengine'
    )
    return source.cfg.get('default_scope') or package


def _preprocessor(cfg: Config) -> dict:
    """Data preprocessor of a plain config: that of the model goes first."""
    return (
        cfg.model.get('data_preprocessor')
        or cfg.get('data_preprocessor')
        or {}
    )


def _source(value: Any) -> str:
    """Write a value as configs do, with ``dict(key=value)``."""
    if isinstance(value, dict):
        if not all(isinstance(k, str) and k.isidentifier() for k in value):
            items = (f'{key!r}: {_source(v)}' for key, v in value.items())
            return f'{{{", ".join(items)}}}'
        items = (f'{key}={_source(v)}' for key, v in value.items())
        return f'dict({", ".join(items)})'
    if isinstance(value, (list, tuple)):
        items = ', '.join(map(_source, value))
        if isinstance(value, tuple):
            return f'({items}, )' if len(value) == 1 else f'({items})'
        return f'[{items}]'
    return repr(value)


def _comment(text: str) -> str:
    return textwrap.fill(text, 77, initial_indent='# ', subsequent_indent='# ')


def _feature_comments(features: Sequence[Feature]) -> str:
    return '\n'.join(
        f'        #   {feature.name}: {feature.shape}' for feature in features
    )


def _split(text: str) -> str:
    """Write a text over as many lines as it takes."""
    parts = textwrap.wrap(text, 60, break_on_hyphens=False) or ['']
    return (
        repr(text) if len(parts) == 1 else (f'({" ".join(map(repr, parts))})')
    )
