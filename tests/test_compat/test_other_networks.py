"""Networks of timm and transformers that are not there."""

import json
import sys
from types import SimpleNamespace

import pytest
from mmengine.registry import MODELS

from mmdskd.compat import other_networks
from mmdskd.compat.other_networks import (
    check_hugging_face,
    check_timm,
    explain_missing_networks,
    hub_problem,
)


@pytest.fixture
def offline(monkeypatch):
    """The hub can't be reached, and whoever tries more than once fails."""
    pytest.importorskip('huggingface_hub')
    monkeypatch.setattr(
        other_networks, 'hub_problem', lambda: 'the hub can not be reached'
    )


@pytest.fixture
def online(monkeypatch):
    pytest.importorskip('huggingface_hub')
    monkeypatch.setattr(other_networks, 'hub_problem', lambda: None)


def test_name_near_one_of_timm():
    pytest.importorskip('timm')
    for kind in ('TimmClassifier', 'TIMMBackbone'):
        with pytest.raises(
            ValueError,
            match=r'^model_name should be one of the \d+ names of '
            r"timm.list_models\(\) of timm .*, but got 'resnet26x'; did you "
            "mean 'resnet26' or ",
        ) as error:
            MODELS.build(
                dict(type=kind, _scope_='mmpretrain', model_name='resnet26x')
            )
        assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'name, message',
    [
        ('', "but got ''$"),
        (18, 'model_name should be a name of timm, but got 18'),
        (
            'resnet18.a1_in1',
            'should be resnet18 with one of the tags of its weights, a1_in1k, '
            ".*, but got 'resnet18.a1_in1'; did you mean 'a1_in1k'",
        ),
        ('resnet26x.a1_in1k', "did you mean 'resnet26'"),
    ],
)
def test_other_names_that_timm_does_not_know(name, message):
    pytest.importorskip('timm')
    with pytest.raises(ValueError, match=message):
        check_timm(name)


def test_names_that_timm_knows(offline):
    pytest.importorskip('timm')
    for name in ('resnet18', 'resnet18.a1_in1k', 'local-dir:folder'):
        assert check_timm(name) == {}
    # Weights of a file need no hub.
    assert check_timm('resnet18', checkpoint_path='a.pth') == {}


def test_weights_of_timm_offline(offline, monkeypatch, tmp_path):
    pytest.importorskip('timm')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', tmp_path)
    for kind in ('TimmClassifier', 'TIMMBackbone'):
        with pytest.raises(
            ValueError,
            match="^pretrained=True needs 'timm/resnet18.a1_in1k', but "
            'model.safetensors of it is not in the cache .*, and the hub can '
            'not be reached: set HF_HOME to a cache that has it, or name a '
            'file by checkpoint_path with pretrained=False',
        ):
            MODELS.build(
                dict(
                    type=kind,
                    _scope_='mmpretrain',
                    model_name='resnet18',
                    pretrained=True,
                )
            )
    with pytest.raises(ValueError, match=r"^model_name needs 'me/mine', but "):
        check_timm('hf-hub:me/mine')


def test_weights_of_timm_online(online, monkeypatch, tmp_path):
    pytest.importorskip('timm')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', tmp_path)
    assert check_timm('resnet18', pretrained=True) == {}


def test_network_of_the_hub_offline(offline, monkeypatch, tmp_path):
    pytest.importorskip('transformers')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', tmp_path)
    with pytest.raises(
        ValueError,
        match="^model_name needs 'microsoft/resnet-50', but it is no local "
        'folder, config.json of it is not in the cache .*, and the hub can '
        'not be reached: name a folder that has it, or set HF_HOME to a '
        'cache that has it$',
    ):
        MODELS.build(
            dict(
                type='HuggingFaceClassifier',
                _scope_='mmpretrain',
                model_name='microsoft/resnet-50',
            )
        )


def fill_cache(folder, name, *files):
    """Lay out files as the hub's cache does."""
    repo = folder / f'models--{name.replace("/", "--")}'
    (repo / 'refs').mkdir(parents=True)
    (repo / 'refs/main').write_text('abc')
    (repo / 'snapshots/abc').mkdir(parents=True)
    for file in files:
        (repo / 'snapshots/abc' / file).write_text('{}')


def test_network_in_the_cache(offline, tmp_path):
    """It is built without the hub, if all of its files are there."""
    pytest.importorskip('transformers')
    fill_cache(tmp_path, 'me/mine', 'config.json')
    given = dict(cache_dir=str(tmp_path))
    assert check_hugging_face('me/mine', **given) == dict(
        local_files_only=True
    )
    with pytest.raises(ValueError, match=r"^pretrained=True needs 'me/mine'"):
        check_hugging_face('me/mine', pretrained=True, **given)
    fill_cache(tmp_path, 'me/all', 'config.json', 'model.safetensors')
    assert check_hugging_face('me/all', pretrained=True, **given) == dict(
        local_files_only=True
    )


def test_network_of_the_hub_online(online, tmp_path):
    given = dict(cache_dir=str(tmp_path))
    assert check_hugging_face('me/mine', pretrained=True, **given) == {}


def test_folders(tmp_path):
    pytest.importorskip('transformers')
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(
        ValueError, match='should be a folder with config.json, as save_pre'
    ):
        check_hugging_face(str(empty))
    (empty / 'config.json').write_text(json.dumps(dict(model_type='vit')))
    assert check_hugging_face(str(empty)) == {}
    for name in ('/no/such', './no', 'a/b/c', '~/no', 18, ''):
        with pytest.raises(ValueError, match=f'but {name!r} is no folder'):
            check_hugging_face(name)


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(model_type='bert'), "image classifier of .*, but got 'bert'$"),
        (
            dict(model_type='deit'),
            r'should have "architectures": \[NAME\], with one of DeiTForImage'
            "Classification, .*, as 'deit' has several$",
        ),
        (
            dict(
                model_type='deit', architectures=['DeiTForImageClassification']
            ),
            None,
        ),
        (dict(model_type='mine', auto_map={}), None),
        (dict(), None),
    ],
)
def test_kind_of_a_folder(config, message, tmp_path):
    pytest.importorskip('transformers')
    (tmp_path / 'config.json').write_text(json.dumps(config))
    if message is None:
        assert check_hugging_face(str(tmp_path)) == {}
    else:
        with pytest.raises(ValueError, match=message):
            check_hugging_face(str(tmp_path))


def test_reason_without_a_hub(monkeypatch):
    """It asks once."""
    constants = pytest.importorskip('huggingface_hub').constants
    calls = []

    class Session:
        def head(self, url, timeout):
            calls.append((url, timeout))
            raise OSError('no network')

    monkeypatch.setattr('huggingface_hub.utils.get_session', lambda: Session())
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    assert hub_problem() == (
        f'{constants.ENDPOINT} can not be reached (no network)'
    )
    assert calls == [(constants.ENDPOINT, 5.0)]
    monkeypatch.setattr(Session, 'head', lambda *args, **kwargs: None)
    assert hub_problem() is None
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    assert hub_problem() == 'HF_HUB_OFFLINE is set'


class Classifier:
    def __init__(self, model_name, pretrained=False, **kwargs):
        self.given = (model_name, pretrained, kwargs)


def patched(name):
    kind = type(name, (Classifier,), {'__init__': Classifier.__init__})
    module = SimpleNamespace(**{name: kind})
    explain_missing_networks(module)
    wrapped = kind.__init__
    explain_missing_networks(module)
    assert kind.__init__ is wrapped
    return kind


def test_arguments_are_handed_on():
    pytest.importorskip('timm')
    kind = patched('TimmClassifier')
    assert kind('resnet18', False, a=1).given == ('resnet18', False, dict(a=1))
    assert kind(model_name='resnet18').given == ('resnet18', False, {})
    with pytest.raises(ValueError, match='TimmClassifier should have a model'):
        kind(a=1)


def test_without_the_package(monkeypatch):
    """MMPretrain says how to install it; nothing is checked."""
    monkeypatch.setattr(other_networks, 'find_spec', lambda name: None)
    monkeypatch.setitem(sys.modules, 'timm', None)
    kind = patched('TimmClassifier')
    assert kind('no_such').given == ('no_such', False, {})
