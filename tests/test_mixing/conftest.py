import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from test_mixing.page import ROOT, shorten

from mmdskd.engine.checks.augmentation_check import check_augmentation
from mmdskd.engine.checks.distillation_check import check_distillation


@pytest.fixture
def start(tmp_path, monkeypatch, build_runner):
    """Build the runner of a block, as ``tools/train.py`` does."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)

    def run(block, epochs=1, **changes) -> Runner:
        (tmp_path / 'block.py').write_text(block)
        cfg = shorten(Config.fromfile('block.py'), epochs)
        cfg.merge_from_dict(changes)
        cfg.work_dir = 'work_dirs/block'
        runner = build_runner(cfg)
        check_distillation(runner.model)
        check_augmentation(runner)
        return runner

    return run
