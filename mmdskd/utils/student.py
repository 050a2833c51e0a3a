"""From a distillation run to the plain student: weights, config, files."""

import os.path as osp
from collections import OrderedDict
from inspect import isfunction
from typing import Any, Callable, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.hub import get_config
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import HOOKS, LOOPS, MODELS, Registry
from mmrazor.registry import sub_model

from mmdskd.utils.files import write_atomically
from mmdskd.utils.per_image import make_per_image, unwrap_dataloader
from mmdskd.utils.type_name import type_name
from mmdskd.version import __version__

# Name of the file that goes with the students of a folder.
CONFIG_NAME = 'student_config.py'
STUDENT_PREFIX = 'architecture.'
PREPROCESSOR_PREFIX = 'data_preprocessor.'
# Random numbers of the training, see `AugmentSequence`
AUGMENTS_PREFIX = 'data_preprocessor.augments.'
# Their hooks and loops work on an algorithm, not on a plain network.
DISTILLATION_PACKAGES = ('mmdskd', 'mmrazor')
# What a Runner reads, but for what belongs to the distillation or to one
# run: the model, load_from, resume, work_dir, launcher, and also teacher_ckpt
# and all other variables of a config file.
KEPT_KEYS = (
    'default_scope',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'val_evaluator',
    'test_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'default_hooks',
    'custom_hooks',
    'log_processor',
    'log_level',
    'visualizer',
    'env_cfg',
    'randomness',
    'sync_bn',
    'compile',
    'tta_model',
    'tta_pipeline',
)


def student_path(checkpoint_path: str) -> str:
    """Name the file of the student that belongs to a checkpoint.

    Args:
        checkpoint_path (str): Path of the algorithm's checkpoint, such as
            "work_dirs/run/epoch_10.pth".

    Returns:
        str: "work_dirs/run/epoch_10_student.pth" for it.
    """
    return f'{osp.splitext(checkpoint_path)[0]}_student.pth'


def extract_student(checkpoint: dict, cfg: Optional[Config] = None) -> dict:
    """Take the plain student out of an MMRazor algorithm's checkpoint.

    The student is what the checkpoint holds under ``architecture.``. A state
    of the data preprocessor is the algorithm's, since that is the one which
    prepares the student's images. Teacher, connectors and optimizer are left
    behind. Tensors are shared with ``checkpoint``, which is not changed.

    Args:
        checkpoint (dict): Checkpoint of an algorithm, as MMEngine saves it.
        cfg (Config, optional): The student's config, see
            :func:`make_student_config`. It takes the place of the
            distillation's in ``meta['cfg']``, from which MMEngine's
            inferencers build the model. Defaults to None.

    Returns:
        dict: ``meta``, of builtin types only, and ``state_dict``, so that
        ``torch.load`` reads it with ``weights_only=True`` as it is. (That of
        torch 1.13 reads no floats, and MMEngine puts none into ``meta``.)

    Raises:
        TypeError: If ``checkpoint`` is not a dict with a ``state_dict``.
        ValueError: If it has no student, as that of a plain network.
    """
    if not (
        isinstance(checkpoint, dict)
        and isinstance(checkpoint.get('state_dict'), dict)
    ):
        found = (
            sorted(map(str, checkpoint))
            if isinstance(checkpoint, dict)
            else type(checkpoint).__name__
        )
        raise TypeError(
            'checkpoint should be a dict with a "state_dict", as '
            f'MMEngine saves it, but got {found}.'
        )
    state_dict = checkpoint['state_dict']
    if not any(name.startswith(STUDENT_PREFIX) for name in state_dict):
        found = sorted({name.partition('.')[0] for name in state_dict})
        raise ValueError(
            'checkpoint should hold a student under "architecture", as the '
            f'algorithms of MMRazor do, but holds {found}. If this is a '
            'plain network, it needs no conversion.'
        )

    student = OrderedDict()
    for name, value in state_dict.items():
        plain_name = _plain_name(name)
        if plain_name is not None:
            student[plain_name] = value
    # The versions of the modules, which torch attaches to a state_dict.
    student._metadata = OrderedDict(
        (_plain_name(f'{name}.')[:-1], value)
        for name, value in getattr(state_dict, '_metadata', {}).items()
        if _plain_name(f'{name}.') is not None
    )

    meta = _to_builtin(checkpoint.get('meta') or {})
    meta['mmdskd_version'] = __version__
    if cfg is not None:
        meta['cfg'] = cfg.pretty_text
    return dict(meta=meta, state_dict=student)


def _plain_name(name: str) -> Optional[str]:
    """Translate a name of the algorithm to the plain student's, or None."""
    if name.startswith(AUGMENTS_PREFIX):
        return None
    if name.startswith(PREPROCESSOR_PREFIX):
        return name
    plain_name = name[len(STUDENT_PREFIX) :]
    if name.startswith(STUDENT_PREFIX) and not plain_name.startswith(
        PREPROCESSOR_PREFIX
    ):
        return plain_name
    return None


def _to_builtin(value: Any) -> Any:
    """Convert to builtin types; tensors stay, unknown objects become str."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {_to_builtin(k): _to_builtin(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_to_builtin, value))
    if isinstance(value, (list, set, frozenset)):
        return list(map(_to_builtin, value))
    for builtin in (bool, int, float):
        if isinstance(value, builtin):
            return builtin(value)
    if value is None or isinstance(value, torch.Tensor):
        return value
    return str(value)


def make_student_config(cfg: Config) -> Config:
    """Derive the plain student's config from a distillation run's config.

    The model is the algorithm's ``architecture``, with the data preprocessor
    that the algorithm uses: its own, else the one at the top level of
    ``cfg``, else the architecture's. Pretrained weights are not named: the
    exported ones take their place. Data, evaluation and schedule stay, so
    that the student can be tested, and be trained further. The widths of a
    pruned student, MMRazor's ``sub_model``, are written in. Hooks and
    evaluation loops of mmdskd and MMRazor go, and so does the import of
    these packages, unless something that stays is theirs. Data that mmdskd
    augments as whole batches go through MMPretrain's pipeline instead, with
    the same augmentation, if there is one for single images.

    Args:
        cfg (Config): Config of the run. It is not changed.

    Returns:
        Config: Config of the student. It refers to no other file.

    Raises:
        FileNotFoundError: If there is no file with the widths.
        TypeError: If the model of ``cfg`` is not the config of an algorithm
            with the config of an ``architecture``, or the architecture is
            one of MMRazor's functions other than ``sub_model``.
    """
    run = cfg.to_dict()
    algorithm = run.get('model')
    if not (
        isinstance(algorithm, dict)
        and isinstance(algorithm.get('architecture'), dict)
    ):
        found = (
            sorted(algorithm)
            if isinstance(algorithm, dict)
            else type(algorithm).__name__
        )
        raise TypeError(
            'The model of the config should be a dict with an "architecture" '
            f'dict, as the algorithms of MMRazor have it, but got {found}.'
        )
    default_scope = run.get('default_scope') or 'mmengine'
    scope = algorithm.get('_scope_', default_scope)

    student = {key: run[key] for key in KEPT_KEYS if key in run}
    student['model'] = make_plain_model(algorithm['architecture'], scope)
    # As MMEngine's Runner: an algorithm's own, be it None, goes first.
    preprocessor = algorithm.get(
        'data_preprocessor', run.get('data_preprocessor')
    )
    if preprocessor is not None:
        network = _network(student['model'])
        network['data_preprocessor'] = _student_preprocessor(
            preprocessor, network, scope
        )
    _go_per_image(student)

    _drop_distillation(student, default_scope)
    _let_test_follow_val(student)
    custom_imports = run.get('custom_imports')
    if custom_imports:
        student['custom_imports'] = custom_imports
        _drop_needless_imports(student)
    return Config(student)


def make_plain_model(architecture: dict, scope: str) -> dict:
    """Make the plain model of an architecture, without preprocessor.

    Args:
        architecture (dict): A model, or ``cfg_path='package::path'``, which
            MMRazor hands to :func:`mmengine.hub.get_model`, or MMRazor's
            ``sub_model`` of one of these.
        scope (str): The scope in which the algorithm is built.

    Returns:
        dict: Config of the model.

    Raises:
        TypeError: If it is a function other than ``sub_model``.
    """
    if architecture.get('cfg_path') and not architecture.get('type'):
        cfg_path = architecture['cfg_path']
        hub = get_config(cfg_path).to_dict()
        defaults = {
            key: value
            for key, value in architecture.items()
            if key not in ('cfg_path', 'pretrained')
        }
        architecture = {**defaults, **hub['model']}
        if 'data_preprocessor' in hub:
            architecture['data_preprocessor'] = hub['data_preprocessor']
        scope = cfg_path.partition('::')[0]
    model = _without_pretrained(architecture)
    model.setdefault('_scope_', scope)
    kind = find_class(MODELS, model, scope)
    if kind is sub_model:
        model['cfg'] = make_plain_model(model['cfg'], model['_scope_'])
        if isinstance(model['fix_subnet'], str):
            model['fix_subnet'] = load(model['fix_subnet'])
    elif isfunction(kind):
        raise TypeError(
            'The architecture should be a network, or a sub_model of one, '
            f'but got {model["type"]}, which does not tell the widths of the '
            'pruned student. Let mmrazor.ItePruneValLoop of the pruning write '
            'fix_subnet.json and fix_subnet_weight.pth, and take them by '
            'type="sub_model", mode="mutator".'
        )
    return model


def _network(model: dict) -> dict:
    """Find the network that a student's config builds and maybe prunes."""
    kind = find_class(MODELS, model, model['_scope_'])
    return _network(model['cfg']) if kind is sub_model else model


def _without_pretrained(node: Any) -> Any:
    """Copy a model config without the weights that it starts from."""
    if isinstance(node, (list, tuple)):
        return type(node)(map(_without_pretrained, node))
    if not isinstance(node, dict):
        return node
    node = {
        key: _without_pretrained(value)
        for key, value in node.items()
        if not (key == 'pretrained' and value)
    }
    inits = node.get('init_cfg')
    if inits:
        inits = [inits] if isinstance(inits, dict) else inits
        kept = [
            init
            for init in inits
            if type_name(init) not in ('Pretrained', 'PretrainedInit')
        ]
        if not kept:
            del node['init_cfg']
        elif len(kept) < len(inits):
            node['init_cfg'] = kept
    return node


def _student_preprocessor(preprocessor: dict, model: dict, scope: str) -> dict:
    """Give an algorithm's data preprocessor to the plain model.

    Args:
        preprocessor (dict): Config of the algorithm's data preprocessor.
        model (dict): Config of the plain model.
        scope (str): The scope in which the algorithm is built.

    Returns:
        dict: Config that builds the same preprocessing inside the model.
    """
    preprocessor = dict(preprocessor)
    found = find_class(MODELS, preprocessor, scope)
    if found is not find_class(MODELS, preprocessor, model['_scope_']):
        preprocessor.setdefault('_scope_', scope)
    from mmpretrain.models import BaseClassifier

    kind = find_class(MODELS, model, model['_scope_'])
    if kind is None or not issubclass(kind, BaseClassifier):
        return preprocessor
    # MMPretrain's classifiers hand `batch_augments` to every preprocessor,
    # which MMEngine's, that MMRazor's own configs use, doesn't take.
    if found is ImgDataPreprocessor:
        to_rgb = any(
            preprocessor.pop(key, False)
            for key in ('bgr_to_rgb', 'rgb_to_bgr')
        )
        for key in ('_scope_', 'non_blocking'):
            preprocessor.pop(key, None)
        preprocessor.update(
            type='mmpretrain.ClsDataPreprocessor', to_rgb=to_rgb
        )
    # They take it from `train_cfg`, which the algorithm doesn't look at.
    if model.get('train_cfg'):
        preprocessor.setdefault('batch_augments', None)
    return preprocessor


def _go_per_image(student: dict) -> None:
    """Let the data do without mmdskd's preprocessor, in place."""
    network = _network(student['model'])
    preprocessor = network.get('data_preprocessor') or {}
    plain = make_per_image(preprocessor, student.get('train_dataloader'))
    if plain is None:
        return
    network['data_preprocessor'], train_dataloader = plain
    if train_dataloader is not None:
        student['train_dataloader'] = train_dataloader
    for key in ('val_dataloader', 'test_dataloader'):
        if key in student:
            student[key] = unwrap_dataloader(student[key])


def find_class(
    registry: Registry, config: dict, scope: str
) -> Optional[Callable]:
    """Find what ``config`` names when it is built in ``scope``.

    Args:
        registry (Registry): Registry of such classes.
        config (dict): Config of an object, with its ``type``.
        scope (str): The scope, unless ``config`` has one of its own.

    Returns:
        type, optional: The class, or the function that builds it, such as
        MMRazor's ``sub_model``, or None if there is none.
    """
    if not isinstance(config['type'], str):  # of a pure-Python config
        return config['type']
    with registry.switch_scope_and_registry(
        config.get('_scope_', scope)
    ) as registry:
        return registry.get(config['type'])


def _serves_distillation(registry: Registry, config: Any, scope: str) -> bool:
    """Whether a hook or loop is mmdskd's or MMRazor's."""
    if not (isinstance(config, dict) and 'type' in config):
        return False
    package, dot, _ = config['type'].partition('.')
    if not dot:
        found = find_class(registry, config, scope)
        # What isn't registered yet is in the scope's own package.
        package = found.__module__.partition('.')[0] if found else scope
    return package in DISTILLATION_PACKAGES


def _drop_distillation(student: dict, scope: str) -> None:
    """Take out in place what works on an algorithm only."""
    if 'custom_hooks' in student:
        student['custom_hooks'] = [
            hook
            for hook in student['custom_hooks'] or []
            if not _serves_distillation(HOOKS, hook, scope)
        ]
    if 'default_hooks' in student:
        student['default_hooks'] = {
            name: hook
            for name, hook in (student['default_hooks'] or {}).items()
            if not _serves_distillation(HOOKS, hook, scope)
        }
    for key in ('val_cfg', 'test_cfg'):
        if _serves_distillation(LOOPS, student.get(key), scope):
            # Such as a loop that evaluates the teacher, too.
            del student[key]['type']
    paramwise_cfg = (student.get('optim_wrapper') or {}).get('paramwise_cfg')
    if paramwise_cfg and 'custom_keys' in paramwise_cfg:
        paramwise_cfg['custom_keys'] = {
            _plain_name(name) or name: value
            for name, value in paramwise_cfg['custom_keys'].items()
        }


def _let_test_follow_val(student: dict) -> None:
    """Let a run that never tests test on what it validated on, in place."""
    parts = ('dataloader', 'evaluator', 'cfg')
    if any(student.get(f'test_{part}') is not None for part in parts):
        return
    for part in parts:
        value = student.get(f'val_{part}')
        if value is not None:
            student[f'test_{part}'] = value
    if 'type' in (student.get('test_cfg') or {}):
        student['test_cfg'] = {
            key: value
            for key, value in student['test_cfg'].items()
            if key != 'type'
        }


def _drop_needless_imports(student: dict) -> None:
    """Import mmdskd and MMRazor only where something of theirs stays."""
    custom_imports = student.pop('custom_imports')
    if not any(
        f"'{package}" in repr(student) for package in DISTILLATION_PACKAGES
    ):
        imports = custom_imports['imports']
        imports = [imports] if isinstance(imports, str) else imports
        imports = [
            name
            for name in imports
            if name.partition('.')[0] not in DISTILLATION_PACKAGES
        ]
        custom_imports = dict(custom_imports, imports=imports)
    if custom_imports['imports']:
        student['custom_imports'] = custom_imports


def add_import(custom_imports: Optional[dict]) -> dict:
    """Let a config import mmdskd, before all else.

    Args:
        custom_imports (dict, optional): What it imports.

    Returns:
        dict: The same with mmdskd, which goes first unless it is there.
    """
    merged = dict(
        dict(imports=[], allow_failed_imports=False), **custom_imports or {}
    )
    imports = merged['imports']
    imports = [imports] if isinstance(imports, str) else list(imports)
    if 'mmdskd' not in imports:
        imports.insert(0, 'mmdskd')
    merged['imports'] = imports
    return merged


def save_checkpoint_atomically(checkpoint: dict, path: str) -> None:
    """Save a checkpoint so that ``path`` never holds a half-written one.

    Args:
        checkpoint (dict): What to save.
        path (str): A local path. A file there is replaced at the end, and
            stays as it was if saving fails.

    Raises:
        OSError: If the file can't be written.
        RuntimeError: If torch can't write the file.
    """
    write_atomically(path, lambda file: torch.save(checkpoint, file))


def save_config_atomically(cfg: Config, path: str) -> None:
    """Save a config so that ``path`` never holds a half-written one.

    Args:
        cfg (Config): What to save.
        path (str): A local path, see :func:`save_checkpoint_atomically`.

    Raises:
        OSError: If the file can't be written.
    """
    text = cfg.pretty_text
    write_atomically(path, lambda file: file.write(text.encode()))
