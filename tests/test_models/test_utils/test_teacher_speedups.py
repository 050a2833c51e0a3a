import pytest
import torch
from torch import nn

from mmdskd.models.utils import teacher_speedups as module
from mmdskd.models.utils.teacher_speedups import (
    check_speedups,
    largest_difference,
    on_any_rank,
)


def check(**changes):
    arguments = dict(
        fold_bn=False,
        channels_last=False,
        autocast_dtype=None,
        compile_cfg=False,
    )
    check_speedups(**{**arguments, **changes})


@pytest.mark.parametrize('name', ['fold_bn', 'channels_last'])
def test_switches_are_bools(name):
    check(**{name: True})
    with pytest.raises(
        ValueError, match=f"teacher_{name} should be .* got 'no'"
    ):
        check(**{name: 'no'})


def test_half_precision_that_is_not_there(monkeypatch):
    with pytest.raises(
        ValueError,
        match="should be one of bfloat16, float16, or None, but got 'int8'",
    ):
        check(autocast_dtype='int8')

    def conv2d(*args):
        raise RuntimeError('no such type')

    monkeypatch.setattr(module.F, 'conv2d', conv2d)
    with pytest.raises(
        ValueError,
        match="teacher_autocast_dtype='bfloat16' is not there on 'c.*' "
        'with torch .*: no such type',
    ):
        check(autocast_dtype='bfloat16')
    # Old PyTorch ignores the type with a warning.
    monkeypatch.setattr(module.F, 'conv2d', lambda x, weight: x)
    with pytest.raises(ValueError, match='torch.float32'):
        check(autocast_dtype='bfloat16')


def test_compile_that_is_not_there(monkeypatch):
    if hasattr(nn.Module, 'compile'):
        for cfg in (dict(backend='nope'), dict(foo=1)):
            with pytest.raises(
                ValueError, match='is not what torch.compile takes here'
            ):
                check(compile_cfg=cfg)
    with pytest.raises(ValueError, match="bool or a dict .* got 'yes'"):
        check(compile_cfg='yes')
    monkeypatch.delattr(nn.Module, 'compile', raising=False)
    with pytest.raises(ValueError, match='teacher_compile needs torch >='):
        check(compile_cfg=True)


def test_largest_difference():
    ones = torch.ones(2, 2)
    assert largest_difference([ones], [ones]) == 0
    assert largest_difference(
        [ones, ones * 1.5], [ones, ones * 2]
    ) == pytest.approx(0.25)
    assert largest_difference([torch.zeros(1)], [torch.zeros(1)]) == 0
    assert largest_difference([], []) == 0
    nan = largest_difference([ones * float('nan')], [ones])
    assert nan != nan
    with pytest.raises(ValueError, match='recorded shapes'):
        largest_difference([ones], [ones[0]])


def test_one_process_is_its_own_vote():
    assert on_any_rank(True) is True
    assert on_any_rank(False) is False
