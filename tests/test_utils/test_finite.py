import logging

import pytest
import torch

from mmdskd.utils.finite import (
    log_nonfinite,
    nonfinite_tensors,
    nonfinite_text,
)

INF, NAN = float('inf'), float('nan')


@pytest.mark.parametrize(
    'name, values, broken',
    [
        ('conv.weight', [0.0, 1.0], False),
        ('conv.weight', [0.0, NAN], True),
        ('conv.weight', [0.0, INF], True),
        ('conv.weight', [INF, INF], True),
        ('bn.running_var', [INF, INF], True),
        ('fc.bias', [-INF, 0.0], True),
        # A causal mask, and the limits of an observer without a value.
        ('attn.mask', [0.0, -INF], False),
        ('observer.min_val', [INF], False),
        ('attn.mask', [0.0, NAN], True),
        ('pos_embed', [0.5, INF], True),
        ('bn.num_batches_tracked', [1, 2], False),
    ],
)
def test_broken(name, values, broken):
    found = nonfinite_tensors([(name, torch.tensor(values))])
    assert found == ([name] if broken else [])


def test_half_empty_and_other_values():
    half = torch.full((2,), NAN, dtype=torch.float16)
    tensors = dict(half=half, none=torch.zeros(0), state='text', number=NAN)
    assert nonfinite_tensors(tensors.items()) == ['half']


def test_text():
    assert nonfinite_text('The student', ['a', 'b']) == (
        'The student holds nan or inf in 2 tensors, so its results mean '
        'nothing: a, b.'
    )
    assert nonfinite_text('The student', list('abcde')).endswith(
        'in 5 tensors, so its results mean nothing: a, b, c and 2 more.'
    )


def test_log(monkeypatch):
    logged = []
    monkeypatch.setattr(
        'mmdskd.utils.finite.print_log', lambda *args: logged.append(args)
    )
    assert not log_nonfinite('The student', [('a', torch.ones(1))])
    assert logged == []
    assert log_nonfinite('The student', [('a', torch.tensor([NAN]))])
    assert logged == [
        (nonfinite_text('The student', ['a']), 'current', logging.ERROR)
    ]
