"""What well-known arguments of components should be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from mmdskd.models.utils.teacher_preprocessor import VALUES as TEACHER_VALUES
from mmdskd.utils.rules import (
    COUNT,
    FLAG,
    INDEX,
    POSITIVE,
    SHARE,
    TEXT,
    WEIGHT,
    AnyOf,
    Choice,
    File,
    Kind,
    ListOf,
    Number,
    Rule,
    one_or_list,
    optional,
)

from .config_parts import Part


@dataclass(frozen=True)
class Single:
    """A rule for what is one number or text. Lists, dicts and objects, which
    some components also take, pass.

    Args:
        rule (Rule): The rule.
    """

    rule: Any

    @property
    def text(self) -> str:
        """str: The rule."""
        return self.rule.text

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        if value is not None and not isinstance(value, (str, int, float)):
            return None
        return self.rule.error(value)


class Scalar(Single):
    """A rule for what is one number, or an object. Lists and dicts, of groups
    of parameters, are none."""

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        if isinstance(value, (list, tuple, dict)):
            return TypeError
        return super().error(value)


class Level(Choice):
    """One of some names, in upper or lower case."""

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        return super().error(
            value.upper() if isinstance(value, str) else value
        )


@dataclass(frozen=True)
class Numbered:
    """A name of files, with a place for their numbers."""

    text: str = "a name with a place for the number, as in 'epoch_{}.pth'"

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`mmdskd.utils.rules.Rule`."""
        if not isinstance(value, str):
            return TypeError
        try:
            return ValueError if value.format(1) == value.format(2) else None
        except (IndexError, KeyError, ValueError):
            return ValueError


_BELOW_ONE = Number(least=0, below=1)
_OPEN_SHARE = Number(above=0, below=1)
_COUNT_OR_NEVER = AnyOf((COUNT, Choice((-1,))))
_DIRECTIONS = Choice(('greater', 'less'))
_ANY_NUMBER = Number()
_PRIORITIES = (
    'HIGHEST',
    'VERY_HIGH',
    'HIGH',
    'ABOVE_NORMAL',
    'NORMAL',
    'BELOW_NORMAL',
    'LOW',
    'VERY_LOW',
    'LOWEST',
)
_DROP = Single(optional(SHARE))
_TWO_BETAS = dict(betas=ListOf(_BELOW_ONE, 2))

# By the name of the registry: arguments that mean the same in all components.
_BY_REGISTRY: dict[str, dict[str, Any]] = {
    'model': dict(
        loss_weight=Single(WEIGHT),
        tau=POSITIVE,
        temperature=Single(POSITIVE),
        label_smooth_val=SHARE,
        dropout=_DROP,
        dropout_rate=_DROP,
        dropout_ratio=_DROP,
        drop_rate=_DROP,
        drop_path_rate=_DROP,
        attn_drop_rate=_DROP,
        proj_drop_rate=_DROP,
        in_channels=Single(COUNT),
        topk=one_or_list(COUNT),
        norm_eval=FLAG,
        with_cp=FLAG,
    ),
    'batch augment': dict(
        alpha=Single(POSITIVE), prob=SHARE, cutmix_minmax=Single(SHARE)
    ),
    'hook': dict(
        priority=Single(
            AnyOf((Number(least=0, most=100, whole=True), Level(_PRIORITIES)))
        ),
        by_epoch=FLAG,
    ),
    'optimizer': dict(
        lr=Scalar(WEIGHT),
        momentum=Single(_BELOW_ONE),
        dampening=Single(_ANY_NUMBER),
        weight_decay=Single(WEIGHT),
        betas=ListOf(_BELOW_ONE),
        eps=Single(optional(WEIGHT)),
        alpha=Single(SHARE),
        nesterov=FLAG,
        amsgrad=FLAG,
        maximize=FLAG,
    ),
    'parameter scheduler': dict(
        begin=INDEX,
        end=Single(COUNT),
        T_max=POSITIVE,
        milestones=ListOf(INDEX),
        gamma=POSITIVE,
        factor=POSITIVE,
        start_factor=Number(above=0, most=1),
        end_factor=SHARE,
        eta_min=Single(WEIGHT),
        eta_min_ratio=Single(optional(SHARE)),
        power=Single(WEIGHT),
        step_size=COUNT,
        by_epoch=FLAG,
        convert_to_iter_based=FLAG,
        total_steps=COUNT,
        pct_start=SHARE,
    ),
    'loop': dict(
        max_epochs=COUNT,
        max_iters=COUNT,
        val_interval=COUNT,
        val_begin=INDEX,
        fp16=FLAG,
    ),
    'data sampler': dict(shuffle=FLAG, round_up=FLAG),
    'dataset': dict(
        test_mode=FLAG,
        lazy_init=FLAG,
        times=COUNT,
        indices=Single(optional(Number(whole=True))),
        data_root=Single(optional(TEXT)),
    ),
    'transform': dict(
        prob=Single(SHARE),
        crop_size=Single(COUNT),
        padding=Single(optional(INDEX)),
        pad_if_needed=FLAG,
    ),
    'metric': dict(
        topk=one_or_list(COUNT), num_classes=Single(optional(COUNT))
    ),
    'optim_wrapper': dict(accumulative_counts=COUNT),
}
# By the name of a class, or of one that it is derived from.
_BY_CLASS: dict[str, dict[str, Any]] = dict(
    LoggerHook=dict(interval=COUNT, log_metric_by_epoch=FLAG),
    CheckpointHook=dict(
        interval=_COUNT_OR_NEVER,
        max_keep_ckpts=_COUNT_OR_NEVER,
        save_best=optional(one_or_list(TEXT)),
        rule=optional(one_or_list(_DIRECTIONS)),
        out_dir=optional(TEXT),
        filename_tmpl=optional(Numbered()),
        save_begin=INDEX,
        save_optimizer=FLAG,
        save_param_scheduler=FLAG,
        save_last=FLAG,
    ),
    EMAHook=dict(
        begin_iter=INDEX,
        begin_epoch=INDEX,
        momentum=_OPEN_SHARE,
        interval=COUNT,
        gamma=COUNT,
    ),
    EarlyStoppingHook=dict(
        patience=COUNT, min_delta=WEIGHT, rule=optional(_DIRECTIONS)
    ),
    StopDistillHook=dict(stop_epoch=COUNT),
    PreciseBNHook=dict(num_samples=COUNT, interval=COUNT),
    ReduceOnPlateauParamScheduler=dict(
        factor=_OPEN_SHARE,
        patience=INDEX,
        threshold=WEIGHT,
        cooldown=INDEX,
        rule=_DIRECTIONS,
        monitor=TEXT,
    ),
    OneCycleParamScheduler=dict(eta_max=Single(POSITIVE)),
    **dict.fromkeys(
        ('Adam', 'AdamW', 'Adamax', 'NAdam', 'RAdam', 'SparseAdam', 'Lamb'),
        _TWO_BETAS,
    ),
    ExpMomentumEMA=dict(momentum=_OPEN_SHARE, gamma=COUNT),
    BaseAveragedModel=dict(interval=COUNT),
    BaseDataPreprocessor=dict(non_blocking=FLAG),
    ClsDataPreprocessor=dict(
        mean=optional(ListOf(_ANY_NUMBER)),
        std=optional(ListOf(POSITIVE)),
        num_classes=optional(COUNT),
        to_rgb=FLAG,
        to_onehot=FLAG,
        pad_size_divisor=COUNT,
    ),
    ClsHead=dict(num_classes=COUNT, cal_acc=FLAG),
    LinearClsHead=dict(num_classes=COUNT),
    MultiLabelClsHead=dict(thr=optional(SHARE), topk=optional(COUNT)),
    SyncBatchNorm=dict(eps=POSITIVE),
    _BatchNorm=dict(eps=POSITIVE, momentum=optional(SHARE)),
    GroupNorm=dict(eps=POSITIVE),
    LayerNorm=dict(eps=POSITIVE),
    DKDLoss=dict(alpha=WEIGHT, beta=WEIGHT),
    DISTLoss=dict(
        inter_loss_weight=WEIGHT, intra_loss_weight=WEIGHT, teacher_detach=FLAG
    ),
    KLDivergence=dict(teacher_detach=FLAG),
    L2Loss=dict(normalize=FLAG, div_element=FLAG, dist=FLAG, mult=POSITIVE),
    PKDLoss=dict(resize_stu=FLAG),
    ConvModuleConnector=dict(in_channel=COUNT, out_channel=COUNT),
    SingleTeacherDistill=dict(
        teacher_ckpt=optional(File()),
        teacher_trainable=FLAG,
        teacher_norm_eval=FLAG,
        student_trainable=FLAG,
        calculate_student_loss=FLAG,
        teacher_module_inplace=FLAG,
    ),
    FrozenTeacherDistill=dict(
        teacher_trainable=Choice((False,)),
        teacher_norm_eval=Choice((True,)),
        teacher_fold_bn=FLAG,
        teacher_channels_last=FLAG,
        teacher_autocast_dtype=optional(Choice(('bfloat16', 'float16'))),
        teacher_compile=AnyOf((FLAG, Kind())),
        **TEACHER_VALUES,
    ),
)


def find_rules(part: Part, component: Callable) -> Mapping[str, Rule]:
    """Find what is known of the arguments of a component.

    Components say it themselves, as ``VALUES``; of others, the names of the
    arguments are well known.

    Args:
        part (Part): The component in its config.
        component (Callable): The class or function.

    Returns:
        dict[str, Rule]: Rules by the names of arguments.
    """
    rules = dict(_BY_REGISTRY.get(part.place.registry.name, {}))
    for base in reversed(getattr(component, '__mro__', ())):
        rules.update(_BY_CLASS.get(base.__name__, {}))
    rules.update(getattr(component, 'VALUES', {}))
    return rules
