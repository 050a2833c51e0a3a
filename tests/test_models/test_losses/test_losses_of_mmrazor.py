"""Which losses fit where: the tables of docs/losses.md."""

import re
from pathlib import Path

import pytest
import torch
from mmrazor.models import losses
from test_models.test_losses.placed_losses import (
    FEATURES,
    FEATURES_OF,
    LOGITS,
    NUM_CLASSES,
    N,
    build_algorithm,
    check_loss,
    run_branches,
    run_last_layer,
)
from torch import nn

from mmdskd.registry import MODELS

PAGE = Path(__file__).resolve().parents[3] / 'docs/losses.md'
PLACES = (
    '`logit_loss` of a branch',
    '`feat_loss` of a branch',
    'last layer: logits',
    'last layer: features',
)
# Each kind of answer once; the others take MMRazor's own time.
OURS = ('mmdskd.StandardizedKLDivergence', 'mmdskd.BinaryKLDivergence')
QUICK = ('CRDLoss', 'DKDLoss', 'KLDivergence', 'PKDLoss', 'FTLoss', *OURS)
# Arguments without which a loss is of another number of classes or samples.
ARGUMENTS = dict(
    WSLD=dict(num_classes=NUM_CLASSES), CRDLoss=dict(neg_num=4, sample_n=N)
)


def read_tables():
    """Read which losses fit where, and why the others do not."""
    text = PAGE.read_text()
    fits, reasons = re.findall(r'\| loss \|.+\n\|[-|]+\n((?:\|.+\n)+)', text)
    rows = [row.strip('| ').split(' | ') for row in fits.splitlines()]
    rows = {name.strip('`'): dict(zip(PLACES, cells)) for name, *cells in rows}
    reasons = [row.strip('| ').split(' | ') for row in reasons.splitlines()]
    return rows, {name.strip('`'): cells for name, *cells in reasons}


ROWS, REASONS = read_tables()


def describe(error):
    """Shorten what DSKDLoss says of a signature to what the loss takes."""
    text = re.sub(
        r'.*(forward of \w+).* it (takes \(.*?\)).*', r'\1 \2', str(error)
    )
    return f'`{type(error).__name__}: {text}`'


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in ROWS
    ],
)
def test_page(name, place, dskd_config):
    torch.manual_seed(0)
    cfg = dict(type=name, **ARGUMENTS.get(name, {}))
    wiring = LOGITS if place == PLACES[2] else FEATURES_OF.get(name, FEATURES)
    by = ''
    try:
        if place in PLACES[:2]:
            run_branches(re.search(r'\w+', place)[0], cfg)
        else:
            run_last_layer(dskd_config.model, cfg, wiring)
            parts = [*wiring.student, *wiring.teacher]
            types = dict.fromkeys(f'`{part["type"]}`' for part in parts)
            by = f', by {", ".join(types)}' if parts else ''
    # Whatever it raises is what the page shows.
    except Exception as error:
        assert ROWS[name][place] == 'no', error
        _, what = REASONS[name]
        assert re.search(
            f'{re.escape(place)}[^;]*: {re.escape(describe(error))}', what
        )
    else:
        assert ROWS[name][place] == f'yes{by}'


def test_page_has_every_loss():
    """And a reason for each that does not fit everywhere."""
    assert set(ROWS) == {*losses.__all__, *OURS}
    misfits = {name for name, row in ROWS.items() if 'no' in row.values()}
    assert set(REASONS) == misfits
    assert all(why for why, _ in REASONS.values())


class Odd(nn.Module):
    """A loss that is not as it should be."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, student, teacher):
        return self.loss(student, teacher)


@pytest.mark.parametrize('term', ['logit_loss', 'feat_loss'])
@pytest.mark.parametrize(
    'loss, message',
    [
        (lambda s, t: (s - t).sum(), None),
        (lambda s, t: s.sum() + t.sum(), None),  # the teacher is detached
        (lambda s, t: s.sum() * float('nan'), 'the loss is nan'),
        (lambda s, t: t.sum(), 'the student gets no gradient'),
        (lambda s, t: (s - s.detach()).square().sum(), 'the student gets no'),
        (
            lambda s, t: (s - s.detach()).abs().sqrt().sum(),
            'the gradient is not finite',
        ),
    ],
)
def test_what_fits_a_branch(term, loss, message):
    if message is None:
        run_branches(term, Odd(loss))
    else:
        with pytest.raises(ValueError, match=message):
            run_branches(term, Odd(loss))


def test_gradient_of_the_teacher_does_not_fit():
    student, teacher = (torch.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match='the teacher gets a gradient'):
        check_loss((student * teacher).sum(), [student], [teacher])


@pytest.mark.parametrize(
    'name, mapping',
    [
        ('FTLoss', dict(s_feature='student', t_feature='teacher')),
        ('CRDLoss', dict(s_feats='student', t_feats='teacher')),
    ],
)
def test_last_layer_compares_student_and_teacher(name, mapping, dskd_config):
    """In this order, through their connectors."""
    algorithm = build_algorithm(
        dskd_config.model,
        dict(type=name, **ARGUMENTS.get(name, {})),
        FEATURES_OF[name],
    )
    records = algorithm.distiller.loss_forward_mappings['loss_tried']
    for argument, side in mapping.items():
        assert records[argument] == dict(
            from_student=side == 'student',
            recorder=FEATURES_OF[name].record,
            connector=side,
        )
    others = [r['recorder'] for a, r in records.items() if a not in mapping]
    assert others == ['data_samples'] * (name == 'CRDLoss')


def test_dkd_reduces_by_the_batch_alone():
    """As the note says."""
    torch.manual_seed(0)
    student, teacher, labels = *torch.randn(2, 6, 5), torch.arange(6) % 5
    values = {
        reduction: MODELS.build(
            dict(type='mmrazor.DKDLoss', reduction=reduction)
        )(student, teacher, labels).item()
        for reduction in ('batchmean', 'mean', 'none')
    }
    assert values['mean'] == pytest.approx(6 * values['batchmean'])
    assert values['none'] == pytest.approx(values['mean'])
