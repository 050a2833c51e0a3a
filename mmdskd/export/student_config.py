"""The plain student's config, out of that of a distillation run."""

from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS
from mmpretrain.models import BaseClassifier

from mmdskd.datasets.per_image import make_per_image, unwrap_dataloader
from mmdskd.utils.config import find_class

from .plain_model import find_network, make_plain_model
from .plain_training import DISTILLATION_PACKAGES, drop_distillation

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


def make_student_config(cfg: Config) -> Config:
    """Derive the plain student's config from a distillation run's config.

    The model is the algorithm's ``architecture``, with the data preprocessor
    that the algorithm uses: its own, else the one at the top level of
    ``cfg``, else the architecture's. Pretrained weights are not named: the
    exported ones take their place. Data, evaluation and schedule stay, so
    that the student can be tested, and be trained further. The widths of a
    pruned student, MMRazor's ``sub_model``, are written in. Hooks of mmdskd
    and MMRazor go, plain loops take the place of theirs, and the import of
    these packages goes, unless something that stays is theirs. Data that
    mmdskd augments as whole batches go through MMPretrain's pipeline instead,
    with the same augmentation, if there is one for single images.

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
        network = find_network(student['model'])
        network['data_preprocessor'] = _student_preprocessor(
            preprocessor, network, scope
        )
    _go_per_image(student)

    drop_distillation(student, default_scope)
    _let_test_follow_val(student)
    custom_imports = run.get('custom_imports')
    if custom_imports:
        student['custom_imports'] = custom_imports
        _drop_needless_imports(student)
    return Config(student)


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
    network = find_network(student['model'])
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
