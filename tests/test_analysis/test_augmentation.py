"""Augmentations of other libraries that do the same as ours."""

import builtins

import pytest
import torch

from mmdskd.analysis.augmentation import (
    OURS,
    add_kornia,
    add_torchvision,
    make_functions,
    measure_augments,
    translate,
)
from mmdskd.models import BaseBatchAugment, BatchRandomCrop, BatchRandomFlip

ADD = dict(kornia=add_kornia, torchvision=add_torchvision)
AUGMENTS = [BatchRandomCrop(32, 4), BatchRandomFlip(0.5)]


def test_torchvision_does_the_same():
    pytest.importorskip('torchvision.transforms.v2')
    functions = {}
    assert add_torchvision(functions, AUGMENTS).startswith('torchvis')
    (function,) = functions.values()
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    outputs = function(images)
    assert outputs.shape == images.shape and outputs.dtype == torch.uint8
    assert len({tuple(map(tuple, o[0].eq(0).tolist())) for o in outputs}) > 9


def test_kornia_does_the_same():
    pytest.importorskip('kornia')
    functions = {}
    assert add_kornia(functions, AUGMENTS).startswith('Kornia ')
    assert len(functions) == 2
    images = torch.randint(1, 256, (64, 3, 32, 32), dtype=torch.uint8)
    for function in functions.values():
        outputs = function(images)
        assert outputs.shape == images.shape
        # Each image has a place of its own.
        assert (
            len({tuple(map(tuple, o[0].eq(0).tolist())) for o in outputs}) > 9
        )


@pytest.mark.parametrize('library', ['kornia', 'torchvision'])
def test_libraries_may_be_missing(library, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition('.')[0] == library:
            raise ImportError(f'No module named {name!r}')
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    functions = {}
    note = ADD[library](functions, AUGMENTS)
    assert f"No module named '{library}'" in note
    assert not functions


def test_unknown_augmentation_has_no_twin():

    class Other(BaseBatchAugment):
        def augment(self, inputs, generator=None):
            return inputs

    augments = [BatchRandomFlip(0.5), Other()]
    assert translate(augments, None, lambda prob: prob) is None
    assert translate(augments[:1], None, lambda prob: prob) == [0.5]


def test_batches_of_a_turn(monkeypatch):
    """Each function gets the same number of batches of the given shape."""
    functions, notes = make_functions(AUGMENTS)
    assert next(iter(functions)) == OURS
    assert len(notes) == 2
    shapes = []
    functions = {
        name: lambda images: shapes.append(tuple(images.shape))
        for name in ('a', 'b')
    }
    times = measure_augments(functions, (5, 3), 2, 4, 'cpu')
    assert shapes == [(5, 3, 32, 32)] * 2 * 2 * (1 + 4)
    assert {name: len(values) for name, values in times.items()} == dict(
        a=4, b=4
    )
