from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.apis.model import ModelHub
from plain_configs import RESNET, RUN, VIT, write

from mmdskd.pairing.source_config import (
    SourceConfig,
    choose_data,
    load_source_config,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_file():
    config = load_source_config(write('resnet', RESNET))
    assert config[:2] == ('resnet', 'resnet.py')
    assert config.cfg.model == RESNET
    assert config.checkpoint is None
    assert config.scope == 'mmpretrain'
    assert config.preprocessor == RUN['data_preprocessor']


@pytest.mark.parametrize(
    'name',
    ['resnet34_8xb16_cifar10', 'mmpretrain::resnet/resnet34_8xb16_cifar10.py'],
)
def test_models_of_mmpretrain(name):
    config = load_source_config(name)
    assert config.name == 'resnet34_8xb16_cifar10'
    assert config.path == 'mmpretrain::resnet/resnet34_8xb16_cifar10.py'
    assert config.cfg.model.backbone.depth == 34
    # The weights that MMPretrain has published.
    assert config.checkpoint.startswith('https://')
    assert 'resnet34' in config.checkpoint


def test_scope_and_preprocessor():
    assert SourceConfig('', 'mmpretrain::a.py', Config()).scope == 'mmpretrain'
    assert SourceConfig('', 'b.py', Config()).scope == 'mmengine'
    cfg = Config(
        dict(
            default_scope='mmdskd',
            model=dict(data_preprocessor=dict(mean=[1])),
            data_preprocessor=dict(mean=[2]),
        )
    )
    config = SourceConfig('', 'mmpretrain::a.py', cfg)
    assert config.scope == 'mmdskd'
    assert config.preprocessor == dict(mean=[1])
    assert SourceConfig('', '', Config(dict(model={}))).preprocessor == {}


@pytest.mark.parametrize(
    'name',
    [
        'mmpretrain::missing.py',
        'mmpretrain::resnet/no.py',
        'missing::resnet/no.py',
    ],
)
def test_missing_in_a_package(name):
    with pytest.raises(FileNotFoundError) as error:
        load_source_config(name)
    assert (
        'config should be "package::folder/name.py" of a package '
        f'that ships it, but {name!r} is not: '
    ) in str(error.value)


def test_missing_file_and_name():
    with pytest.raises(FileNotFoundError, match="'missing.py' is neither"):
        load_source_config('missing.py')
    with pytest.raises(
        ValueError,
        match='should each be a config file, "package::path", or a name of '
        r'mmpretrain.list_models\(\), but .*did you mean resnet18_8xb32_in1k',
    ):
        load_source_config('resnet18_8xb32_inlk')


def test_no_plain_classifier():
    algorithm = write('kd', dict(type='any', architecture=RESNET))
    with pytest.raises(
        ValueError,
        match='kd.py should be the config of a plain classifier, but its '
        'model is an algorithm with a student',
    ):
        load_source_config(algorithm)
    Path('new.py').write_text(
        'from mmpretrain.models import ImageClassifier\n'
        'model = dict(type=ImageClassifier)\n'
    )
    with pytest.raises(
        ValueError, match='new.py should name types by strings'
    ):
        load_source_config('new.py')


def test_choice_of_the_data():
    student = load_source_config(write('resnet', RESNET))
    same = load_source_config(write('vit', VIT))
    assert choose_data(student, same) is student
    assert choose_data(student, same, 'teacher') is same
    pipeline = [dict(type='RandomResizedCrop', scale=64)]
    dataset = dict(type='CIFAR10', data_root='data', pipeline=pipeline)
    cfg = Config(dict(RUN, model=VIT, train_dataloader=dict(dataset=dataset)))
    large = SourceConfig('large', 'large.py', cfg)
    with pytest.raises(
        ValueError,
        match=r'resnet is trained on images of shape \(3, 32, 32\) and large '
        r'on \(3, 64, 64\): choose by --dataset-from student',
    ):
        choose_data(student, large)
    assert choose_data(student, large, 'student') is student
    bare = SourceConfig('bare', 'bare.py', Config(dict(model=RESNET)))
    with pytest.raises(
        ValueError, match='bare.py should have the data to train on'
    ):
        choose_data(bare, bare)


def test_backslashes_of_windows(monkeypatch):
    """The _base_ that is written is the same on all systems."""
    get = ModelHub.get
    name = 'resnet18_8xb32_in1k'
    expected = load_source_config(name).path
    assert expected == 'mmpretrain::resnet/resnet18_8xb32_in1k.py'

    def get_on_windows(name):
        meta = get(name)
        path = meta.config.filename.replace('/', '\\')
        object.__setattr__(meta.config, '_filename', f'C:{path}')
        return meta

    monkeypatch.setattr(ModelHub, 'get', staticmethod(get_on_windows))
    assert load_source_config(name).path == expected
