"""How the parts of a distillation are found and named."""

import pytest

from mmdskd.engine.distillation_parts import log_prefix


@pytest.mark.parametrize(
    'name, prefix',
    [
        ('loss_dskd', 'dskd'),
        ('dskd_loss', 'dskd'),
        ('loss_a', 'a'),
        ('loss', 'dskd'),
        ('a_loss_b', 'ab'),
        ('loss_glossy', 'glossy'),
        ('glossy', 'glossy'),
        ('lossless_loss', 'lossless'),
        ('mylosses', 'mylosses'),
    ],
)
def test_log_names_do_not_hold_the_word_loss(name, prefix):
    assert log_prefix(name) == prefix
