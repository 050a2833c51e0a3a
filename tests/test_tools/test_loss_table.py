import importlib.util
from pathlib import Path

import pytest
import torch
from mmrazor.models import losses
from torch import nn

from mmdskd.models import DSKDLoss
from mmdskd.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/losses.md').read_text()


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/misc/loss_table.py'
    spec = importlib.util.spec_from_file_location('loss_table', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_tool_prints(tool, monkeypatch, capsys):
    """Runs every loss in every place."""
    monkeypatch.setattr('sys.argv', ['loss_table.py'])
    tool.main()
    tables = capsys.readouterr().out
    assert f'\n\n{tables}\n## ' in PAGE
    rows = [line for line in tables.splitlines() if line.startswith('| `')]
    # Each loss that is exported has a row, and a reason if it needs one.
    assert set(losses.__all__) == {row.split('`')[1] for row in rows}
    for row in rows:
        assert '|  | `' not in row, row
    without = {row.split('`')[1] for row in rows if ' no |' in row}
    assert without == set(tool.REASONS)
    assert set(tool.NOTES) <= set(losses.__all__)


class Odd(nn.Module):
    """A loss that is not as it should be."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, student, teacher):
        return self.loss(student, teacher)


@pytest.mark.parametrize(
    'loss, message',
    [
        (lambda s, t: (s - t).sum(), None),
        (lambda s, t: s.sum() * float('nan'), 'the loss is nan'),
        (lambda s, t: t.sum(), 'the student gets no gradient'),
        (lambda s, t: (s - s.detach()).square().sum(), 'the student gets no'),
        (
            lambda s, t: s.sum() + t.sum(),
            None,
        ),  # DSKDLoss detaches the teacher
        (
            lambda s, t: (s - s.detach()).abs().sqrt().sum(),
            'the gradient is not finite',
        ),
    ],
)
def test_what_fits_a_branch(tool, loss, message, monkeypatch):

    def build(num_branches, **terms):
        return DSKDLoss(num_branches, **{term: Odd(loss) for term in terms})

    monkeypatch.setattr(tool, 'DSKDLoss', build)
    for place in tool.PLACES[:2]:
        cell = tool.run('KLDivergence', place)
        assert cell.fits is (message is None)
        assert message is None or message in cell.text


def test_a_gradient_of_the_teacher_is_told(tool):
    student, teacher = (torch.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match='the teacher gets a gradient'):
        tool.check_loss((student * teacher).sum(), [student], [teacher])


def test_last_layer_compares_what_the_wiring_says(tool):
    """Student and teacher, in this order, through their connectors."""
    algorithm = tool.build_algorithm(
        dict(type='FTLoss'), tool.FEATURES_OF['FTLoss']
    )
    mapping = algorithm.distiller.loss_forward_mappings['loss_tried']
    assert mapping == dict(
        s_feature=dict(
            from_student=True, recorder='feat', connector='student'
        ),
        t_feature=dict(
            from_student=False, recorder='feat', connector='teacher'
        ),
    )
    mapping = tool.map_arguments(
        dict(type='WSLD'), dict(student='s', teacher='t'), 'y', 'samples'
    )
    assert mapping == dict(student='s', teacher='t', gt_labels='y')
    mapping = tool.map_arguments(
        dict(type='CRDLoss', neg_num=1, sample_n=2),
        dict(student='s', teacher='t'),
        'y',
        'samples',
    )
    assert mapping == dict(s_feats='s', t_feats='t', data_samples='samples')


def test_dkd_reduces_by_the_batch_alone():
    """As the note says."""
    torch.manual_seed(0)
    student, teacher, labels = *torch.randn(2, 6, 5), torch.arange(6) % 5
    values = {
        reduction: MODELS.build(
            dict(type='mmrazor.DKDLoss', reduction=reduction)
        )(student, teacher, labels)
        for reduction in ('batchmean', 'mean', 'none')
    }
    assert values['mean'].item() == pytest.approx(
        6 * values['batchmean'].item()
    )
    assert values['none'].item() == pytest.approx(values['mean'].item())
