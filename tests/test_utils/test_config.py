import copy

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.models import CrossEntropyLoss
from mmrazor.models import SingleTeacherDistill

from mmdskd.models import DSKDLoss, FrozenTeacherDistill
from mmdskd.utils.config import (
    add_import,
    check_resolved,
    find_class,
    is_named,
    is_type,
    load_config,
    type_name,
    without_teacher_weights,
)


def test_configs_of_files_and_packages(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('a = 1')
    assert load_config(str(path)).to_dict() == dict(a=1)
    found = load_config('mmpretrain::resnet/resnet18_8xb16_cifar10.py')
    assert found.model.backbone.depth == 18
    with pytest.raises(
        FileNotFoundError, match=r"'no.py' is neither \(looked from /"
    ):
        load_config('no.py')
    with pytest.raises(
        FileNotFoundError, match="of a package that ships it, but 'no::a/b.py'"
    ):
        load_config('no::a/b.py')


@pytest.mark.parametrize(
    'config, expected',
    [
        (dict(type='DSKDLoss'), 'DSKDLoss'),
        (dict(type='mmdskd.DSKDLoss'), 'DSKDLoss'),
        (dict(type='mmdskd.models.DSKDLoss'), 'DSKDLoss'),
        (dict(type=DSKDLoss), 'DSKDLoss'),
        (dict(num_branches=2), 'other'),
        (dict(type=None), 'other'),
        (None, 'other'),
    ],
)
def test_type_name(config, expected):
    assert type_name(config, 'other') == expected


def test_type_of_a_pure_python_config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        'from mmdskd.models import DSKDLoss\nloss = dict(type=DSKDLoss)\n'
    )
    assert type_name(Config.fromfile(path).loss) == 'DSKDLoss'


@pytest.mark.parametrize(
    'config, expected',
    [
        (dict(type='DSKDLoss'), True),
        (dict(type='mmdskd.DSKDLoss'), True),
        (dict(type='mmdskd.models.DSKDLoss'), True),
        (dict(type=DSKDLoss), True),
        (dict(type='mine.DSKDLoss'), False),
        (dict(type='mine.mmdskd.DSKDLoss'), False),
        (dict(type=type('DSKDLoss', (), {})), False),
        (dict(type='mmdskd.OtherLoss'), False),
        (dict(num_branches=2), False),
        (None, False),
    ],
)
def test_name_with_its_package(config, expected):
    assert is_named(config, 'mmdskd.DSKDLoss') == expected


@pytest.mark.parametrize(
    'config, scope, expected',
    [
        (dict(type='CrossEntropyLoss'), 'mmpretrain', CrossEntropyLoss),
        (
            dict(type='CrossEntropyLoss', _scope_='mmpretrain'),
            'mmrazor',
            CrossEntropyLoss,
        ),
        (dict(type='mmdskd.DSKDLoss'), 'mmpretrain', DSKDLoss),
        (dict(type=DSKDLoss), 'mmengine', DSKDLoss),
        (dict(type='NoSuchLoss'), 'mmpretrain', None),
    ],
)
def test_class_that_a_config_builds(config, scope, expected):
    assert find_class(MODELS, config, scope) is expected


@pytest.mark.parametrize(
    'config, kind, expected',
    [
        (dict(type='mmdskd.DSKDLoss'), DSKDLoss, True),
        (dict(type=FrozenTeacherDistill), SingleTeacherDistill, True),
        (dict(type='SingleTeacherDistill'), FrozenTeacherDistill, False),
        (dict(type='NoSuchLoss'), DSKDLoss, False),
        # A function, which builds one.
        (dict(type='sub_model'), DSKDLoss, False),
        (dict(num_branches=2), DSKDLoss, False),
        (None, DSKDLoss, False),
    ],
)
def test_type_with_subclasses(config, kind, expected):
    assert is_type(config, kind) == expected


def test_what_is_still_to_be_found_is_refused():
    check_resolved('A', size=(1, 2), name='automatic', number=None)
    with pytest.raises(
        ValueError, match="A: b, d should be known when it is built, .*'auto'"
    ):
        check_resolved('A', b='auto', c=1, d='auto')


def test_teacher_without_weights():
    init_cfg = dict(type='Pretrained', checkpoint='a.pth')
    network = dict(
        type='A', init_cfg=init_cfg, necks=[dict(type='B', init_cfg=init_cfg)]
    )
    cfg = Config(
        dict(
            model=dict(
                architecture=network, teacher=network, teacher_ckpt='b.pth'
            )
        )
    )
    before = cfg.to_dict()
    model = without_teacher_weights(cfg).model.to_dict()
    assert model == dict(
        architecture=network,
        teacher=dict(type='A', necks=[dict(type='B')]),
        teacher_ckpt=None,
    )
    assert cfg.to_dict() == before
    plain = Config(dict(model=network))
    assert without_teacher_weights(plain).to_dict() == plain.to_dict()


@pytest.mark.parametrize(
    'custom_imports, expected',
    [
        (None, dict(imports=['mmdskd'], allow_failed_imports=False)),
        (
            dict(imports='mine'),
            dict(imports=['mmdskd', 'mine'], allow_failed_imports=False),
        ),
        (
            dict(imports=['mine', 'mmdskd'], allow_failed_imports=True),
            dict(imports=['mine', 'mmdskd'], allow_failed_imports=True),
        ),
    ],
)
def test_import_is_added_once(custom_imports, expected):
    before = copy.deepcopy(custom_imports)
    assert add_import(custom_imports) == expected
    assert custom_imports == before
