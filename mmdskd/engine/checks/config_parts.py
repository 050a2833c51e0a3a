"""The components of a config, each with its path and what builds it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmengine import registry as registries
from mmengine.registry import Registry
from mmpretrain.registry import BATCH_AUGMENTS

from mmdskd.utils.config import type_name

# In `Place.given`: arguments of unknown names.
ANY = '*'
# Its keys are arguments of losses, such as `teacher` of WSLD: no components.
_OF_LOSSES = 'loss_forward_mappings'


class Place(NamedTuple):
    """A key that components are built from.

    Attributes:
        registry (Registry): Where they are looked up.
        given (tuple[str]): Arguments that are handed to them when they are
            built, beside those of the config.
        taken (tuple[str]): Keys that whoever builds them takes out.
        suffix (str): What MMRazor appends to the type.
        default (str): The type of a dict without one. Empty for a dict of
            named components.
        scope (str): The scope, if it is always the same.
        is_sure (bool): Whether the dict is built as it is.
        is_named (bool): Whether it is a dict of components by name.
        needs_type (bool): Whether a component has to say its type.
        is_given_by (str): Who overwrites what is in ``given``. Empty where
            the config prevails.
    """

    registry: Registry
    given: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    suffix: str = ''
    default: str = ''
    scope: str = ''
    is_sure: bool = True
    is_named: bool = False
    needs_type: bool = True
    is_given_by: str = ''


class Part(NamedTuple):
    """A component of a config.

    Attributes:
        path (str): Where it is, such as "custom_hooks[0]".
        cfg (dict): Its config.
        place (Place): The key that it is built from.
        scope (str): The scope in which it is built.
        owner (str): Name of the class that it is within, or ''.
    """

    path: str
    cfg: dict
    place: Place
    scope: str
    owner: str

    @property
    def type(self) -> Any:
        """str or Callable: What is built."""
        return self.cfg.get('type', self.place.default)


_MODEL = Place(registries.MODELS)
_MODELS = Place(registries.MODELS, is_named=True)
_PREPROCESSOR = Place(registries.MODELS, needs_type=False)
_LOOP = Place(
    registries.LOOPS,
    given=('runner', 'dataloader', 'evaluator'),
    needs_type=False,
)
_METRIC = Place(registries.METRICS, needs_type=False)
_HOOK = Place(registries.HOOKS, taken=('priority',))
_INIT = Place(registries.WEIGHT_INITIALIZERS, is_sure=False, needs_type=False)
_RECORDERS = Place(registries.TASK_UTILS, suffix='Recorder', is_named=True)
_DELIVERIES = Place(registries.TASK_UTILS, suffix='Delivery', is_named=True)
_DATASET = Place(registries.DATASETS)
_TRANSFORM = Place(registries.TRANSFORMS)
_AUGMENT = Place(BATCH_AUGMENTS)
_LAYER = Place(registries.MODELS, is_sure=False, needs_type=False)
_SAMPLER = Place(registries.DATA_SAMPLERS, given=('dataset', 'seed'))
_SCHEDULER = Place(
    registries.PARAM_SCHEDULERS,
    given=('optimizer', 'param_name'),
    taken=('convert_to_iter_based',),
    needs_type=False,
)
_OPTIMIZER = Place(registries.OPTIMIZERS, given=('params',))
_OPTIM_WRAPPER = Place(
    registries.OPTIM_WRAPPERS,
    taken=('constructor', 'paramwise_cfg'),
    default='OptimWrapper',
)
_VISUALIZER = Place(registries.VISUALIZERS, given=('name', 'save_dir'))
_BACKEND = Place(registries.VISBACKENDS, given=('save_dir',))
_LOG_PROCESSOR = Place(registries.LOG_PROCESSORS, default='LogProcessor')
_WRAPPER = Place(registries.MODEL_WRAPPERS, given=('module',))

_TOP = dict(
    model=_MODEL,
    data_preprocessor=_PREPROCESSOR,
    tta_model=Place(registries.MODELS, given=('module',)),
    train_cfg=_LOOP,
    val_cfg=_LOOP,
    test_cfg=_LOOP,
    val_evaluator=_METRIC,
    test_evaluator=_METRIC,
    default_hooks=_HOOK._replace(is_named=True),
    custom_hooks=_HOOK,
    optim_wrapper=_OPTIM_WRAPPER,
    param_scheduler=_SCHEDULER,
    visualizer=_VISUALIZER,
    log_processor=_LOG_PROCESSOR,
    model_wrapper_cfg=_WRAPPER,
)
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_IN_LOADER = dict(
    dataset=_DATASET,
    sampler=_SAMPLER,
    batch_sampler=Place(
        registries.DATA_SAMPLERS, given=('sampler', 'batch_size')
    ),
    collate_fn=Place(registries.FUNCTIONS, given=(ANY,)),
    worker_init_fn=Place(registries.FUNCTIONS, given=(ANY,)),
)
# By the registry of a component, the keys that hold further ones.
_WITHIN: dict[str, dict[str, Place]] = {
    'model': dict(
        architecture=_MODEL,
        teacher=_MODEL,
        distiller=_MODEL,
        connector=_MODEL,
        connectors=_MODELS,
        distill_losses=_MODELS,
        student_recorders=_RECORDERS,
        teacher_recorders=_RECORDERS,
        student_deliveries=_DELIVERIES,
        teacher_deliveries=_DELIVERIES,
        distill_deliveries=_DELIVERIES,
        backbone=_MODEL,
        neck=_MODEL,
        head=_MODEL,
        loss=_MODEL,
        loss_module=_MODEL,
        data_preprocessor=_PREPROCESSOR,
        logit_loss=_MODEL,
        feat_loss=_MODEL,
        label_loss=_MODEL,
        init_cfg=_INIT,
        augments=_AUGMENT,
        conv_cfg=_LAYER,
        norm_cfg=_LAYER,
        act_cfg=_LAYER,
    ),
    'dataset': dict(dataset=_DATASET, datasets=_DATASET, pipeline=_TRANSFORM),
    'optim_wrapper': dict(optimizer=_OPTIMIZER),
    'visualizer': dict(vis_backends=_BACKEND),
    'transform': dict(transforms=_TRANSFORM),
}
_HEAD = Place(
    registries.MODELS,
    given=('in_channels', 'out_channels', 'num_classes', 'stride', 'out_size'),
    is_given_by='DSKDConnector',
)


def walk_parts(cfg: Mapping[str, Any]) -> Iterator[Part]:
    """Walk through the components that a run is built from.

    Args:
        cfg (Config): Config of a run.

    Yields:
        Part: A component, before those within it.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    for key, place in _TOP.items():
        value = cfg.get(key)
        if (
            key.endswith('_evaluator')
            and isinstance(value, dict)
            and 'metrics' in value
        ):
            key, value = f'{key}.metrics', value['metrics']
        yield from _visit(value, key, place, scope, '')
    for key in _LOADERS:
        loader = cfg.get(key)
        if not isinstance(loader, dict):
            continue
        for name, place in _IN_LOADER.items():
            yield from _visit(
                loader.get(name), f'{key}.{name}', place, scope, ''
            )


def _visit(
    value: Any, path: str, place: Place, scope: str, owner: str
) -> Iterator[Part]:
    """Walk through the components of a value."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _visit(item, f'{path}[{index}]', place, scope, owner)
        return
    if not isinstance(value, dict):
        return
    several = place.default and 'constructor' in value
    if place.is_named and 'type' not in value:
        one = place._replace(is_named=False)
        for key, item in value.items():
            yield from _visit(item, f'{path}.{key}', one, scope, owner)
        return
    is_untyped = value.get('type') is None
    if (
        is_untyped
        and place.needs_type
        and not (place.default or 'cfg_path' in value)
    ):
        yield Part(path, value, place, scope, owner)
    if is_untyped and (not place.default or several):
        # Named components, or settings of something that has none.
        for key, item in value.items():
            if key in place.taken:
                continue
            named = place
            if key in _WITHIN.get(place.registry.name, {}):
                named = _WITHIN[place.registry.name][key]
            yield from _visit(item, f'{path}.{key}', named, scope, owner)
        return
    inner = value.get('_scope_') or place.scope or scope
    part = Part(path, value, place, inner, owner)
    yield part
    kind = type_name(value, place.default)
    for key, item in value.items():
        if key not in ('type', _OF_LOSSES) and isinstance(
            item, (dict, list, tuple)
        ):
            yield from _visit(
                item,
                f'{path}.{key}',
                _place_within(part, kind, key),
                inner,
                kind,
            )


def _place_within(part: Part, kind: str, key: str) -> Place:
    """Find what a key of a component holds."""
    registry = part.place.registry
    if kind == 'DSKDLoss' and key.endswith('_loss'):
        return Place(registries.MODELS, scope='mmrazor')
    if kind == 'AugmentingDataPreprocessor' and key == 'augments':
        return Place(BATCH_AUGMENTS, scope='mmdskd')
    if kind == 'DSKDConnector' and key == 'head':
        return _HEAD
    if kind == 'LossWeightSchedulerHook' and key == 'strategy':
        return Place(registries.TASK_UTILS, scope='mmdskd')
    place = _WITHIN.get(registry.name, {}).get(key)
    if place is not None and (part.place.is_sure or not place.is_sure):
        return place
    return Place(registry, is_sure=False, needs_type=False)
