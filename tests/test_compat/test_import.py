"""What ``import mmdskd`` does, in processes of their own."""

import json
import os
import re
import subprocess
import sys
import warnings

import pytest
from mmengine.runner.checkpoint import CheckpointLoader
from mmrazor.datasets import CRDDataset
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules
from packaging.requirements import Requirement

from mmdskd import compat

BEGIN = """
import json
import sys
from pkgutil import resolve_name as get

report = {}
"""
END = """
print(json.dumps(report))
"""
STACK = {'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmpretrain', 'mmrazor'}
# The registry, the component, and the module that it comes from
COMPONENTS = {
    ('mmrazor.registry.MODELS', 'DSKDLoss'): 'models.losses.dskd_loss',
    (
        'mmpretrain.registry.BATCH_AUGMENTS',
        'BatchRandomFlip',
    ): 'models.utils.batch_augments.random_flip',
    ('mmengine.registry.FUNCTIONS', 'collate_batch'): 'datasets.collate_batch',
}
# What is patched, and the module that it comes from
PATCHED = {
    'mmengine.utils.package_utils.is_installed': 'mmdskd.compat.mmengine',
    'mmengine.utils.is_installed': 'mmdskd.compat.mmengine',
    'mmengine.config.config.is_installed': 'mmdskd.compat.mmengine',
    'mmengine.hub.hub.get_installed_path': 'mmdskd.compat.mmengine',
    'mmrazor.models.algorithms.BaseAlgorithm.set_module_inplace_false': (
        'mmdskd.compat.mmrazor'
    ),
    'mmrazor.datasets.CRDDataset._parse_fullset_contrast_info': (
        'mmdskd.compat.mmrazor'
    ),
    'mmrazor.models.losses.kd_soft_ce_loss.soft_cross_entropy': (
        'mmpretrain.models.losses.cross_entropy_loss'
    ),
    'mmrazor.datasets.transforms.formatting.to_tensor': (
        'mmpretrain.datasets.transforms.formatting'
    ),
    'mmrazor.implementations.pruning.group_fisher.GroupFisherChannelUnit'
    '.config_template': 'mmdskd.compat.mmrazor',
}
CLASSIFIER = dict(
    type='ImageClassifier',
    _scope_='mmpretrain',
    backbone=dict(type='mmdskd.CIFARResNet', depth=8),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
DISTILL = dict(
    type='SingleTeacherDistill',
    _scope_='mmrazor',
    architecture=CLASSIFIER,
    teacher=CLASSIFIER,
    distiller=dict(type='ConfigurableDistiller'),
)


def run(*arguments, cwd=None):
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True,
        timeout=300,
    )


# ---------------------------------------------------------------------------
# mmdskd first
# ---------------------------------------------------------------------------
@pytest.fixture(scope='module')
def mmdskd_first():
    """What a process finds that imports mmdskd first, and its errors."""
    result = run(
        '-c',
        BEGIN
        + f"""
import mmdskd

report['stack'] = sorted({STACK!r} & set(sys.modules))
report['components'] = [
    get(registry).get(f'mmdskd.{{name}}').__module__
    for registry, name in {list(COMPONENTS)!r}
]
model = get('mmengine.registry.MODELS').build({DISTILL!r})
report['architecture'] = type(model.architecture).__module__
report['patched'] = [get(path).__module__ for path in {list(PATCHED)!r}]
report['schemes'] = get(
    'mmengine.runner.checkpoint.CheckpointLoader'
)._schemes[''].__module__
packages = get('mmengine.config.utils.MODULE2PACKAGE')
report['config_package'] = packages['mmdskd']
import mmpretrain.models
"""
        + END,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1]), result.stderr


def test_import_alone_imports_nothing_of_the_stack(mmdskd_first):
    assert mmdskd_first[0]['stack'] == []


def test_import_alone_makes_components_known(mmdskd_first):
    assert mmdskd_first[0]['components'] == [
        f'mmdskd.{module}' for module in COMPONENTS.values()
    ]


def test_import_alone_builds_mmpretrain_models_in_mmrazor(mmdskd_first):
    assert mmdskd_first[0]['architecture'] == (
        'mmpretrain.models.classifiers.image'
    )


def test_patches_are_applied_to_what_is_imported_later(mmdskd_first):
    report, _ = mmdskd_first
    assert dict(zip(PATCHED, report['patched'])) == PATCHED
    assert report['schemes'] == 'mmdskd.compat.mmengine'
    assert report['config_package'] == 'mmdskd'


def test_nothing_is_printed_that_the_user_cannot_use(mmdskd_first):
    """In particular no warning of an operator that mmcv-lite has not."""
    # torch 2.4 warns of an import of MMEngine's, in two lines.
    printed = re.sub(
        r'.*/zero_optimizer.py:\d+: DeprecationWarning.*\n.*\n',
        '',
        mmdskd_first[1],
    )
    assert printed == ''


def test_other_warnings_of_mmcv_are_shown():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        compat.hide_missing_attention()
        for text in (
            'Fail to import ``MultiScaleDeformableAttention`` from x',
            'another one',
        ):
            for module in ('mmcv.cnn.bricks.transformer', 'elsewhere'):
                warnings.warn_explicit(text, UserWarning, 'f', 1, module)
    assert [str(warning.message)[:7] for warning in caught] == [
        'Fail to',
        'another',
        'another',
    ]


# ---------------------------------------------------------------------------
# MMRazor first, and beside an mmcls of old
# ---------------------------------------------------------------------------
@pytest.fixture(scope='module')
def mmrazor_first(tmp_path_factory):
    """What a process finds where MMRazor was imported first, and in vain."""
    folder = tmp_path_factory.mktemp('site')
    (folder / 'mmcls').mkdir()
    (folder / 'mmcls' / '__init__.py').write_text(
        'import mmcv\nassert mmcv.__version__ < "2", "MMCV is incompatible"\n'
    )
    result = run(
        '-c',
        BEGIN
        + f"""
try:
    import mmrazor  # asserts an older MMCV than that of OneDL
    import mmrazor.models
except (AssertionError, ImportError) as error:
    report['error'] = str(error)
sys.path.insert(0, {str(folder)!r})
import mmdskd

get('mmrazor.utils.register_all_modules')(False)
report['models'] = sorted(
    name
    for name, value in get('mmrazor.registry.MODELS').module_dict.items()
    if value.__module__.startswith('mmrazor.models.')
)
report['patched'] = [get(path).__module__ for path in {list(PATCHED)!r}]
"""
        + END,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_all_of_mmrazor_is_there_after_an_import_that_failed(mmrazor_first):
    register_all_modules(False)
    assert set(mmrazor_first['models']) == {
        name
        for name, value in MODELS.module_dict.items()
        if value.__module__.startswith('mmrazor.models.')
    }


def test_patches_are_applied_after_an_import_that_failed(mmrazor_first):
    """And where mmcls cannot be imported."""
    assert dict(zip(PATCHED, mmrazor_first['patched'])) == PATCHED


# ---------------------------------------------------------------------------
# A broken stack
# ---------------------------------------------------------------------------
def test_missing_package_is_explained():
    result = run(
        '-c', 'import sys\nsys.modules["mmrazor"] = None\nimport mmdskd'
    )
    assert result.returncode == 1
    assert (
        'StackError: mmdskd cannot be imported: ModuleNotFoundError: '
        "No module named 'mmrazor'" in result.stderr
    )
    assert 'python -m mmdskd.doctor' in result.stderr


@pytest.mark.parametrize('package', ['mmpretrain', 'mmrazor'])
def test_broken_package_is_explained(package, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / '__init__.py').write_text(
        'raise AssertionError("MMCV==2.2.0 is used but incompatible.")'
    )
    result = run(
        '-c',
        f'import sys\nsys.path.insert(0, {str(tmp_path)!r})\n'
        f'import mmdskd\nimport {package}',
    )
    assert result.returncode == 1
    assert (
        f'StackError: {package} cannot be imported: AssertionError: '
        'MMCV==2.2.0 is used but incompatible.' in result.stderr
    )
    assert 'python -m mmdskd.doctor' in result.stderr


def test_patches_are_applied_under_dash_m_of_another_package(tmp_path):
    package = tmp_path / 'user_package'
    package.mkdir()
    (package / '__init__.py').write_text('import mmdskd\n')
    (package / 'run.py').write_text(
        'from mmengine.config.utils import MODULE2PACKAGE\n'
        'print(MODULE2PACKAGE["mmdskd"])\n'
    )
    result = run('-m', 'user_package.run', cwd=tmp_path)
    assert result.stdout == 'mmdskd\n', result.stderr


# ---------------------------------------------------------------------------
# In this process
# ---------------------------------------------------------------------------
def test_old_torch_is_refused(monkeypatch):
    monkeypatch.setattr(compat, 'installed_version', lambda _: '1.12.1+cpu')
    with pytest.raises(
        ImportError, match='torch should be >= 1.13, but got 1.12.1'
    ):
        compat.check_stack()


def test_new_torch_is_a_warning(monkeypatch):
    monkeypatch.setattr(compat, 'installed_version', lambda _: '2.16.0')
    with pytest.warns(
        UserWarning, match='1.13 to 2.15, not on 2.16.0'
    ) as caught:
        compat.check_torch_version()
    requirement = re.search('pip install "([^"]+)"', str(caught[0].message))
    assert Requirement(requirement[1]).specifier.contains('2.15.1')


@pytest.mark.parametrize('version', ['1.13.0', '1.13.1+cu117', '2.15.9', None])
def test_tested_or_unknown_torch_is_silent(monkeypatch, version):
    monkeypatch.setattr(compat, 'installed_version', lambda _: version)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat.check_torch_version()


def test_patches_may_run_twice():
    compat.apply_patches()
    before = dict(CheckpointLoader._schemes)
    parse = CRDDataset._parse_fullset_contrast_info
    finders = list(sys.meta_path)
    compat.apply_patches()
    assert CheckpointLoader._schemes == before
    assert CRDDataset._parse_fullset_contrast_info is parse
    assert sys.meta_path == finders


def test_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / 'mmnew').mkdir()  # such as a clone in the working directory
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(compat, 'NEEDED', ('mmnew',))
    with pytest.raises(ModuleNotFoundError, match="No module named 'mmnew'"):
        compat.check_stack()


def test_error_is_explained_once():
    with pytest.raises(compat.StackError) as first:
        compat.explain_failed_import('mmcv', ValueError('odd'))
    assert str(first.value).startswith('mmcv cannot be imported: ValueError')
    with pytest.raises(compat.StackError) as second:
        compat.explain_failed_import('mmrazor', first.value)
    assert second.value is first.value
