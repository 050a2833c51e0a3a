from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdskd.export.student_weights import extract_student, student_path
from mmdskd.utils.files import save_checkpoint_atomically


class Version(str):
    """As torch.__version__: refused by weights_only."""


def checkpoint():
    state_dict = OrderedDict(
        {
            'architecture.fc.weight': torch.ones(2, 3),
            'architecture.architecture.bias': torch.ones(1),
            'architecture.data_preprocessor.scale': torch.zeros(1),
            'data_preprocessor.scale': torch.ones(1),
            'data_preprocessor.augments._extra_state': torch.tensor([3, 7]),
            'teacher.fc.weight': torch.ones(4, 3),
            'distiller.connectors.heads.0.weight': torch.ones(1),
        }
    )
    state_dict._metadata = OrderedDict(
        {
            '': dict(version=1),
            'architecture': dict(version=2),
            'architecture.fc': dict(version=3),
            'architecture.data_preprocessor': dict(version=4),
            'data_preprocessor': dict(version=5),
            'data_preprocessor.augments': dict(version=1),
            'teacher': dict(version=6),
        }
    )
    meta = dict(
        epoch=3,
        seed=np.int64(7),
        cfg='model = dict()',
        version=Version('1.0'),
        dataset_meta=dict(
            classes=('a', 'b'),
            palette=np.eye(2, dtype=int),
            extra={'c'},
            none=None,
        ),
    )
    return dict(meta=meta, state_dict=state_dict, optimizer={}, message_hub={})


def test_student_path():
    assert student_path('/a.b/epoch_1.pth') == '/a.b/epoch_1_student.pth'


def test_extract_student():
    source = checkpoint()
    student = extract_student(source)
    assert set(student) == {'meta', 'state_dict'}
    assert list(student['state_dict']) == [
        'fc.weight',
        'architecture.bias',
        'data_preprocessor.scale',
    ]
    assert student['state_dict']['data_preprocessor.scale'] == 1
    assert student['state_dict']._metadata == {
        '': dict(version=2),
        'fc': dict(version=3),
        'data_preprocessor': dict(version=5),
    }
    assert len(source['state_dict']) == 7
    assert source['meta']['seed'].dtype == np.int64


def test_meta_is_of_builtin_types(tmp_path):
    path = str(tmp_path / 'student.pth')
    save_checkpoint_atomically(extract_student(checkpoint()), path)
    meta = torch.load(path, weights_only=True)['meta']
    assert type(meta.pop('mmdskd_version')) is str
    assert meta == dict(
        epoch=3,
        seed=7,
        cfg='model = dict()',
        version='1.0',
        dataset_meta=dict(
            classes=('a', 'b'),
            palette=[[1, 0], [0, 1]],
            extra=['c'],
            none=None,
        ),
    )
    assert type(meta['version']) is str


def test_meta_names_the_student_config():
    cfg = Config(dict(model=dict(type='Student')))
    assert extract_student(checkpoint(), cfg)['meta']['cfg'] == cfg.pretty_text
    without = dict(state_dict=checkpoint()['state_dict'])
    assert set(extract_student(without)['meta']) == {'mmdskd_version'}


@pytest.mark.parametrize(
    'value, found',
    [
        ([1], 'list'),
        (dict(b=1, a=2), r"\['a', 'b'\]"),
        (dict(state_dict=[1]), r"\['state_dict'\]"),
    ],
)
def test_no_checkpoint(value, found):
    with pytest.raises(TypeError, match=f'"state_dict".*got {found}'):
        extract_student(value)


def test_no_student():
    plain = {'head.fc.weight': 1, 'backbone.a': 1, 'architecture_': 1}
    with pytest.raises(
        ValueError,
        match=r"\['architecture_', 'backbone', 'head'\].*plain network",
    ):
        extract_student(dict(state_dict=plain))


def test_prefix_of_a_wrapper():
    weights = {'module.architecture.fc.weight': torch.ones(1)}
    student = extract_student(dict(state_dict=weights))
    assert list(student['state_dict']) == ['fc.weight']
