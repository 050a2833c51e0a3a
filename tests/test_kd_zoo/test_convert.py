"""Checkpoints of the KD zoo, converted."""

import argparse
import os

import numpy as np
import pytest
import torch
from test_kd_zoo.weights import empty, fill, save
from test_kd_zoo.zoo import zoo_shapes

from mmdskd.kd_zoo.convert import convert_kd_zoo_checkpoint
from mmdskd.registry import MODELS
from mmdskd.utils import CheckpointError


class Attack:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    'prefix',
    [
        '',
        'module.',
        'student.',
        'module.student.',
        'module.module.',
        'student.module.',
    ],
)
def test_takes_prefixes_off(tmp_path, prefix):
    weights = fill(zoo_shapes('wrn_16_1'))
    path = save(tmp_path, {prefix + key: v for key, v in weights.items()})
    network, checkpoint, ignored = convert_kd_zoo_checkpoint(path)
    assert network.name == 'wrn16-1' and ignored == {}
    for key, value in checkpoint['state_dict'].items():
        assert torch.equal(value, weights[network.zoo_names[key]])


def test_takes_the_student_out_of_a_distiller(tmp_path):
    student = fill(zoo_shapes('resnet8'))
    teacher = empty(zoo_shapes('resnet14'))
    parts = {f'module.teacher.{key}': v for key, v in teacher.items()}
    parts['module.conv_reg.conv.weight'] = torch.ones(1)
    parts.update({f'module.student.{key}': v for key, v in student.items()})
    network, checkpoint, ignored = convert_kd_zoo_checkpoint(
        save(tmp_path, parts)
    )
    assert network.name == 'resnet8'
    assert ignored == dict(teacher=len(teacher), conv_reg=1)
    assert torch.equal(
        checkpoint['state_dict']['head.fc.bias'], student['fc.bias']
    )


@pytest.mark.parametrize('key', ['model', 'state_dict', None])
def test_finds_the_weights(tmp_path, key):
    weights = fill(zoo_shapes('resnet8'))
    path = str(tmp_path / 'field.pth')
    torch.save({key: weights} if key else weights, path)
    network, checkpoint, _ = convert_kd_zoo_checkpoint(path)
    assert network.name == 'resnet8'
    assert torch.equal(
        checkpoint['state_dict']['backbone.conv1.weight'],
        weights['conv1.weight'],
    )


def test_counters_of_batches_may_be_missing(tmp_path):
    weights = fill(zoo_shapes('vgg8'))
    del weights['block0.1.num_batches_tracked']
    network, checkpoint, _ = convert_kd_zoo_checkpoint(save(tmp_path, weights))
    counters = {
        network.zoo_names[key]: value
        for key, value in checkpoint['state_dict'].items()
        if key.endswith('num_batches_tracked')
    }
    assert counters.pop('block0.1.num_batches_tracked') == 0
    assert set(map(int, counters.values())) == {7}
    MODELS.build(network.model).load_state_dict(checkpoint['state_dict'])


def test_keeps_facts_as_text_that_is_safe_to_read(tmp_path):
    for best_acc in (
        71.5,
        np.float64(71.5),
        np.float32(71.5),
        torch.tensor([71.5]),
    ):
        path = save(
            tmp_path,
            fill(zoo_shapes('resnet8')),
            epoch=240,
            best_acc=best_acc,
            accuracy=torch.ones(2),
            optimizer=dict(lr=0.1),
        )
        checkpoint = convert_kd_zoo_checkpoint(path).checkpoint
        assert checkpoint['meta']['converted_from'] == dict(
            file='field.pth', arch='resnet8', epoch='240', best_acc='71.5'
        )
    # Without the file's other numbers, which numpy 1 and torch 1.13 need.
    torch.save(checkpoint, path)
    assert torch.load(path, weights_only=True)['meta'] == checkpoint['meta']


@pytest.mark.parametrize(
    'checkpoint, error',
    [
        (dict(epoch=1), r'under "model".*, but holds \'epoch\' \(int\)'),
        (dict(model={}), 'but holds none'),
        (dict(model={'fc.weight': 1}), r'but holds \'fc.weight\' \(int\)'),
        (
            dict(model={'backbone.conv1.weight': torch.ones(1)}),
            'needs no conversion',
        ),
        (
            dict(model=empty(zoo_shapes('resnet8')), proj={}),
            'student of SimKD, which predicts by a projector',
        ),
        ([torch.ones(1)], 'should hold a dict, but got list'),
    ],
)
def test_holds_no_network(tmp_path, checkpoint, error):
    path = str(tmp_path / 'field.pth')
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=error):
        convert_kd_zoo_checkpoint(path)


def test_runs_no_code(tmp_path):
    path = save(
        tmp_path, empty(zoo_shapes('resnet8')), opt=Attack(tmp_path / 'run')
    )
    with pytest.raises(CheckpointError, match=r'mkdir.*torch.save\('):
        convert_kd_zoo_checkpoint(path)
    assert os.listdir(tmp_path) == ['field.pth']


def test_tells_how_to_save_the_weights_alone(tmp_path):
    path = save(
        tmp_path, empty(zoo_shapes('resnet8')), opt=argparse.Namespace(a=1)
    )
    with pytest.raises(
        CheckpointError,
        match=r'"argparse.Namespace".*torch.save\(\{\'model\''
        r'.*_best.pth',
    ):
        convert_kd_zoo_checkpoint(path)


def test_damaged_or_missing(tmp_path):
    path = save(tmp_path, fill(zoo_shapes('resnet8')))
    with open(path, 'rb+') as file:
        file.truncate(os.path.getsize(path) // 2)
    with pytest.raises(CheckpointError, match='truncated') as error:
        convert_kd_zoo_checkpoint(path)
    assert 'torch.save(' not in str(error.value)
    with pytest.raises(FileNotFoundError, match='no.pth" does not exist'):
        convert_kd_zoo_checkpoint(str(tmp_path / 'no.pth'))
