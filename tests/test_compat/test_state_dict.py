import copy

import pytest
import torch
from hooked_networks import (
    CLASSES,
    PartialClassifier,
    RenamingClassifier,
    TinyClassifier,
    randomize,
)
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import load_state_dict
from mmrazor.registry import MODELS
from torch import nn

from mmdskd.utils.state_dict import find_tensors

STOCK = 'mmrazor.SingleTeacherDistill'
FROZEN = 'mmdskd.FrozenTeacherDistill'


def build(kind, student, teacher=TinyClassifier, seed=0):
    algorithm = MODELS.build(
        dict(
            type=kind,
            _scope_='mmrazor',
            architecture=dict(type=f'mmengine.{student.__name__}'),
            teacher=dict(type=f'mmengine.{teacher.__name__}'),
            teacher_ckpt=None,
            distiller=dict(type='ConfigurableDistiller'),
        )
    )
    return randomize(algorithm, seed)


def assert_same(ours, theirs):
    ours, theirs = find_tensors(ours), find_tensors(theirs)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize('load', [load_state_dict, nn.Module.load_state_dict])
@pytest.mark.parametrize('student', CLASSES)
@pytest.mark.parametrize('kind', [STOCK, FROZEN])
def test_checkpoint_holds_the_student(kind, student, load):
    saved = build(kind, student, seed=1)
    other = build(kind, student, seed=2)
    weights = copy.deepcopy(saved.state_dict())
    assert set(weights) == set(find_tensors(saved))
    load(other, weights, strict=False)
    assert_same(other.architecture, saved.architecture)


@pytest.mark.parametrize('teacher', CLASSES)
def test_checkpoint_holds_the_teacher(teacher):
    saved = build(STOCK, TinyClassifier, teacher, seed=1)
    other = build(STOCK, TinyClassifier, teacher, seed=2)
    load_state_dict(other, copy.deepcopy(saved.state_dict()), strict=True)
    assert_same(other, saved)


@pytest.mark.parametrize('student', CLASSES)
def test_averaged_weights_are_whole(student):
    saved = ExponentialMovingAverage(build(STOCK, student, seed=1))
    other = ExponentialMovingAverage(build(STOCK, student, seed=2))
    other.load_state_dict(copy.deepcopy(saved.state_dict()), strict=False)
    assert_same(other.module, saved.module)


def test_student_by_itself_keeps_the_names_of_its_class():
    student = build(STOCK, RenamingClassifier, seed=1).architecture
    assert '2.weight' in student.state_dict()
    plain = RenamingClassifier()
    plain.load_state_dict(student.state_dict(), strict=True)
    assert_same(plain, student)


def test_partial_student_leaves_the_others_alone():
    """Its hook sees the tensors of its parents and siblings, too."""
    algorithm = build(STOCK, PartialClassifier)
    algorithm.register_buffer('ours', torch.ones(1))
    weights = algorithm.state_dict()
    assert 'ours' in weights and 'teacher.model.2.weight' in weights


def test_names_of_a_class_are_still_translated():
    """A checkpoint that holds the names of the plain student."""
    saved = build(STOCK, RenamingClassifier, seed=1)
    other = build(STOCK, RenamingClassifier, seed=2)
    weights = {
        f'architecture.{name}': value.clone()
        for name, value in saved.architecture.state_dict().items()
    }
    load_state_dict(other, weights, strict=False)
    assert_same(other.architecture, saved.architecture)


def test_ordinary_checkpoint_is_as_before():
    algorithm = build(STOCK, TinyClassifier)
    weights = algorithm.state_dict()
    plain = nn.Module.state_dict(algorithm)
    assert list(weights) == list(plain)
    assert weights._metadata == plain._metadata
    assert all(
        tensor.data_ptr() == plain[name].data_ptr()
        for name, tensor in weights.items()
    )
    kept = algorithm.state_dict(prefix='a.', keep_vars=True)
    assert kept['a.architecture.fc.weight'] is algorithm.student.fc.weight
