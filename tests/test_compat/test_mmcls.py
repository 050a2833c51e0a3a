"""MMRazor and its configs without mmcls: MMPretrain takes its place."""

import ast
import importlib.util
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config, get_model
from mmengine.registry import DefaultScope, Registry
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules

from mmdskd.compat import mmcls as patches
from mmdskd.utils.config import load_config

RESNET = 'resnet/resnet18_8xb32_in1k.py'
needs_no_mmcls = pytest.mark.skipif(
    patches.has_mmcls(), reason='mmcls 1.x is used as it is'
)
pytestmark = needs_no_mmcls


def rewrite(source):
    tree = patches.rewrite_old_names(source)
    return None if tree is None else ast.unparse(tree)


@pytest.fixture
def installed_mmcls(tmp_path, monkeypatch):
    """Pretend that a version of mmcls is installed."""

    def install(version):
        info = tmp_path / f'mmcls-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: mmcls\nVersion: {version}\n'
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


# ---------------------------------------------------------------------------
# Imports of MMRazor
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'source, expected',
    [
        (
            'from mmcls.models.utils import SELayer',
            'from mmpretrain.models.utils import SELayer',
        ),
        ('from mmcls import models', 'from mmpretrain import models'),
        (
            'from mmcls.structures import ClsDataSample',
            'from mmpretrain.structures import DataSample as ClsDataSample',
        ),
        (
            'from mmcls.structures import ClsDataSample as C, B',
            'from mmpretrain.structures import DataSample as C, B',
        ),
        ('a = np.zeros(3, dtype=np.int)', 'a = np.zeros(3, dtype=int)'),
        # What stays
        ('from mmcls_tools import a', None),
        ('import numpy as np\na = np.int64(3)', None),
        ("scope = 'mmcls.ImageClassifier'", None),
    ],
)
def test_names_that_a_module_imports(source, expected):
    assert rewrite(source) == expected


def test_imports_of_a_package_of_ones_own_stay():
    source = 'from .mmcls import a\nfrom mmcls import b'
    assert rewrite(source) == 'from .mmcls import a\nfrom mmpretrain import b'


def test_imports_of_an_installed_mmcls_stay(installed_mmcls):
    installed_mmcls('1.0.0rc6')
    source = 'from mmcls.structures import ClsDataSample\nnp.int'
    assert rewrite(source) == source.replace('np.', '')


def test_imports_of_an_mmcls_of_old_are_replaced(installed_mmcls):
    installed_mmcls('0.25.0')
    assert rewrite('from mmcls import a') == 'from mmpretrain import a'


def test_no_placeholder_of_mmcls_is_left():
    register_all_modules(False)
    # Two that MMRazor imports when they are used only
    import mmrazor.datasets.transforms.formatting
    import mmrazor.models.task_modules.demo_inputs  # noqa: F401

    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition('.')[0] != 'mmrazor':
            continue
        for value in list(vars(module).values()):
            if getattr(value, '__name__', '') == 'PlaceHolder':
                with pytest.raises(ImportError) as error:
                    value()
                found.setdefault(str(error.value), set()).add(name)
    assert not [message for message in found if 'mmcls' in message], found


def test_no_other_package_meets_an_mmcls(tmp_path):
    """And an mmcls of old is not imported."""
    (tmp_path / 'mmcls').mkdir()
    (tmp_path / 'mmcls/__init__.py').write_text('raise SystemExit("met")')
    info = tmp_path / 'mmcls-0.25.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: mmcls\nVersion: 0.25.0\n'
    )
    code = (
        f'import sys; sys.path.insert(0, {str(tmp_path)!r}); import mmdskd\n'
        'from mmrazor.models.losses import KDSoftCELoss\n'
        'from mmrazor.models.architectures.backbones import '
        'SearchableShuffleNetV2 as S\n'
        'print(S.__mro__[1].__module__)\n'
        'print([m for m in sys.modules if m.partition(".")[0] == "mmcls"])'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == [
        'mmpretrain.models.backbones.base_backbone',
        '[]',
    ]


def test_nothing_is_named_mmcls_here():
    MODELS.build(dict(type='mmcls.LabelSmoothLoss', label_smooth_val=0.1))
    assert 'mmcls' not in sys.modules
    assert importlib.util.find_spec('mmcls') is None


# ---------------------------------------------------------------------------
# Configs
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'old, new',
    [
        (RESNET, RESNET),
        ('_base_/default_runtime.py', '_base_/default_runtime.py'),
        ('deit/deit-tiny_pt-4xb256_in1k.py', 'deit/deit-tiny_4xb256_in1k.py'),
        (
            'efficientnet_v2/efficientnet_v2-b0_8xb32_in1k.py',
            'efficientnet_v2/efficientnetv2-b0_8xb32_in1k.py',
        ),
    ],
)
def test_config_of_mmcls_is_that_of_mmpretrain(old, new, tmp_path):
    expected = get_config(f'mmpretrain::{new}').to_dict()
    assert get_config(f'mmcls::{old}').to_dict() == expected
    assert load_config(f'mmcls::{old}').to_dict() == expected
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f"_base_ = ['mmcls::{old}']\na = 1\n")
    other = tmp_path / 'other.py'
    other.write_text(f"_base_ = ['mmpretrain::{new}']\na = 1\n")
    config = Config.fromfile(leaf)
    assert config.to_dict() == Config.fromfile(other).to_dict()
    # Whoever reads a dump needs no mmcls, and no mmdskd.
    assert 'mmcls' not in config.pretty_text


def test_config_of_an_installed_mmcls_is_its_own(installed_mmcls, tmp_path):
    installed_mmcls('1.0.0rc6')
    folder = tmp_path / 'mmcls/.mim/configs/resnet'
    folder.mkdir(parents=True)
    (tmp_path / 'mmcls/__init__.py').touch()
    (tmp_path / 'mmcls/.mim/model-index.yml').write_text('Import: []')
    (tmp_path / 'mmcls/.mim/configs' / RESNET).write_text('c = 1')
    assert load_config(f'mmcls::{RESNET}').to_dict() == dict(c=1)


def test_model_of_mmcls():
    model = get_model(f'mmcls::{RESNET}').eval()
    assert type(model).__module__ == 'mmpretrain.models.classifiers.image'
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


def test_patches_may_run_twice():
    from mmengine.config import config
    from mmengine.hub import hub
    from mmengine.registry import registry

    before = hub.get_model, config.Config._get_cfg_path, Registry.get
    patches.read_configs_from_mmpretrain(hub)
    patches.read_configs_from_mmpretrain(config)
    patches.find_components_in_mmpretrain(registry)
    assert before == (hub.get_model, config.Config._get_cfg_path, Registry.get)


# ---------------------------------------------------------------------------
# Components
# ---------------------------------------------------------------------------
LOSS = dict(type='mmcls.CrossEntropyLoss')
HEAD = dict(type='LinearClsHead', num_classes=3, in_channels=4)


@pytest.mark.parametrize(
    'config',
    [
        dict(HEAD, type='mmcls.LinearClsHead', loss=LOSS),
        dict(HEAD, _scope_='mmcls'),
    ],
)
def test_component_of_mmcls_is_that_of_mmpretrain(config):
    head = MODELS.build(config)
    assert type(head).__module__ == 'mmpretrain.models.heads.linear_head'


def test_default_scope_may_be_mmcls():
    with DefaultScope.overwrite_default_scope('mmcls'):
        head = MODELS.build(HEAD)
    assert type(head.loss_module).__module__.startswith('mmpretrain.')


def test_unknown_component_is_refused_by_its_name():
    with pytest.raises(KeyError, match='mmcls.NoSuchHead is not in the'):
        MODELS.build(dict(type='mmcls.NoSuchHead'))


def test_registry_of_ones_own_of_that_name_stays():
    root = Registry('house', scope='house')
    child = Registry('door', scope='mmcls', parent=root)

    @child.register_module()
    class Door:
        pass

    assert root.get('mmcls.Door') is Door
    with root.switch_scope_and_registry('mmcls') as registry:
        assert registry is child


def test_old_names_of_what_mmpretrain_has_renamed():
    from mmpretrain.datasets.transforms import PackInputs
    from mmpretrain.registry import TRANSFORMS, VISUALIZERS
    from mmpretrain.visualization import UniversalVisualizer

    assert TRANSFORMS.get('mmcls.PackClsInputs') is PackInputs
    assert TRANSFORMS.get('PackClsInputs') is PackInputs
    assert VISUALIZERS.get('mmcls.ClsVisualizer') is UniversalVisualizer


def test_preprocessor_of_a_classifier_in_the_scope_of_mmrazor():
    config = dict(
        type='mmcls.ImageClassifier',
        backbone=dict(type='mmcls.LeNet5', num_classes=3),
        data_preprocessor=dict(mean=[1.0], std=[2.0]),
    )
    with DefaultScope.overwrite_default_scope('mmrazor'):
        model = MODELS.build(config)
    assert type(model.data_preprocessor).__name__ == 'ClsDataPreprocessor'
    assert model.data_preprocessor.mean.flatten().tolist() == [1.0]
    assert config['data_preprocessor'] == dict(mean=[1.0], std=[2.0])


# ---------------------------------------------------------------------------
# Distillation as MMRazor configures it
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'name',
    [
        'kd/kd_logits_resnet50_mobilenet-v2_8xb32_in1k.py',
        'byot/byot_resnet18_8xb16_cifar100.py',
        'ofd/ofd_backbone_resnet50_resnet18_8xb16_cifar10.py',
    ],
)
def test_config_of_mmrazor_trains(name):
    config = load_config(f'mmrazor::distill/mmcls/{name}')
    config.model.pop('teacher_ckpt', None)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model)
    from mmpretrain.structures import DataSample

    size = 64 if 'in1k' in name else 32
    samples = [DataSample().set_gt_label(label) for label in (1, 2)]
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    batch = model.data_preprocessor(
        dict(inputs=list(images), data_samples=samples), training=True
    )
    losses = model(**batch, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    assert any('distill' in name for name in losses), losses.keys()
