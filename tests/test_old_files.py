"""Files that version 0.1.0 has written work as they did."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdskd.utils import load_checkpoint_file

FILES = Path(__file__).parent / 'data/v0.1.0'
IMAGES = torch.arange(512.0).view(2, 1, 16, 16) / 128 - 2
LOGITS = {
    name: torch.tensor(logits)
    for name, logits in json.loads((FILES / 'logits.json').read_text()).items()
}


def build(config, checkpoint):
    """Build a model in eval mode, with all of its weights from a file."""
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    state_dict = load_checkpoint_file(str(checkpoint))['state_dict']
    model.load_state_dict(state_dict, strict=True)
    return model


def assert_near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', ['student', 'multi_exit'])
@torch.no_grad()
def test_exported_student(kind):
    model = build(FILES / f'{kind}_config.py', FILES / f'epoch_1_{kind}.pth')
    assert_near(model(IMAGES), LOGITS[kind])
    if kind == 'multi_exit':
        assert_near(torch.stack(model.exit_logits(IMAGES)), LOGITS['exits'])


@torch.no_grad()
def test_algorithm():
    model = build(FILES / 'config.py', FILES / 'epoch_1.pth')
    assert_near(model.architecture(IMAGES), LOGITS['student'])
    # One iteration was counted, from which the weights of the branches come.
    loss = model.distiller.distill_losses['loss_dskd']
    saved = load_checkpoint_file(str(FILES / 'epoch_1.pth'))['state_dict']
    prefix = 'distiller.distill_losses.loss_dskd.'
    expected = {
        name[len(prefix) :]: value
        for name, value in saved.items()
        if name.startswith(prefix)
    }
    found = loss.state_dict()
    assert set(found) == set(expected) and expected
    for name, value in expected.items():
        assert_near(found[name], value)


def test_run_is_resumed(build_runner, tmp_path):
    cfg = Config.fromfile(FILES / 'config.py')
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.checkpoint.out_dir = str(tmp_path)
    cfg.load_from = str(FILES / 'epoch_1.pth')
    cfg.resume = True
    cfg.train_cfg.max_epochs = 2
    runner = build_runner(cfg)
    runner.train()
    assert (runner.epoch, runner.iter) == (2, 2)
    momenta = [
        state['momentum_buffer']
        for state in runner.optim_wrapper.optimizer.state.values()
    ]
    assert momenta and all(torch.isfinite(m).all() for m in momenta)


@pytest.mark.parametrize(
    'kind, options', [('student', []), ('multi_exit', ['--exits'])]
)
def test_conversion(run_tool, tmp_path, kind, options):
    for name in ('config.py', 'epoch_1.pth'):
        shutil.copy(FILES / name, tmp_path)
    run_tool(
        'model_converters/convert_kd_ckpt_to_student.py',
        tmp_path / 'epoch_1.pth',
        '--config',
        tmp_path / 'config.py',
        *options,
    )
    config = tmp_path / f'{kind}_config.py'
    model = build(config, tmp_path / f'epoch_1_{kind}.pth')
    with torch.no_grad():
        assert_near(model(IMAGES), LOGITS[kind])
    old = Config.fromfile(FILES / config.name).to_dict()
    assert Config.fromfile(config).to_dict() == old
