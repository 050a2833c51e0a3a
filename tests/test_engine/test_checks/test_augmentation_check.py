import copy
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmrazor.registry import sub_model

from mmdskd.engine.checks.augmentation_check import check_augmentation

CONFIGS = Path(__file__).parents[3] / 'configs'
CONFIG = CONFIGS / 'vanilla/digits/resnet8-thin_1xb64_digits.py'


@pytest.fixture
def warnings(tmp_path, build_runner, monkeypatch):
    """Check a config; return the warnings and the runner."""

    def run(**changes):
        cfg = Config.fromfile(CONFIG)
        cfg.work_dir = str(tmp_path)
        cfg.merge_from_dict(changes)
        runner: Runner = build_runner(cfg)
        found = []
        monkeypatch.setattr(runner.logger, 'warning', found.append)
        check_augmentation(runner)
        return found, runner

    return run


def test_augmented_images_pass(warnings):
    found, runner = warnings()
    assert found == []
    # It is no batch of the training.
    assert runner.model.data_preprocessor.augments.batches == 0
    assert runner.logger.level <= logging.WARNING


def test_preprocessor_of_the_model_hides_that_of_the_data(warnings):
    found, _ = warnings(
        **{'model.data_preprocessor': dict(mean=[78.4], std=[81.7])}
    )
    [message] = found
    assert 'images for training are not augmented' in message
    assert 'a ClsDataPreprocessor, has no "augments"' in message


def test_images_that_are_smaller_than_the_crop(warnings):
    with pytest.raises(
        ValueError, match=r'crop_size should be at most .*\(18, 18\)'
    ):
        warnings(**{'data_preprocessor.augments.0.crop_size': 19})


def test_other_data_sets_have_their_own_pipeline(warnings):
    dataset = Config.fromfile(
        CONFIGS / '_base_/datasets/digits_bs64_per_image.py'
    )
    found, _ = warnings(
        train_dataloader=dict(dataset.train_dataloader, _delete_=True),
        data_preprocessor=dict(dataset.data_preprocessor, _delete_=True),
    )
    assert found == []


MIXUP = dict(augments=dict(type='Mixup', alpha=1.0))


@pytest.mark.parametrize(
    'changes, told',
    [
        ({}, False),
        ({'model.architecture.train_cfg': MIXUP}, True),
        ({'data_preprocessor.batch_augments': MIXUP}, False),
    ],
)
def test_mixup_of_the_architecture_is_not_used(
    tmp_path, build_runner, monkeypatch, changes, told
):
    name = 'kd_resnet20_resnet8-thin_1xb64_digits'
    cfg = Config.fromfile(CONFIGS / f'kd/digits/{name}.py')
    cfg.work_dir = str(tmp_path)
    cfg.model.teacher_ckpt = None
    cfg.merge_from_dict(copy.deepcopy(changes))
    runner = build_runner(cfg)
    found = []
    monkeypatch.setattr(runner.logger, 'warning', found.append)
    check_augmentation(runner)
    assert len(found) == told
    if told:
        assert 'FrozenTeacherDistill prepares them by its own' in found[0]
        assert 'as batch_augments=dict(' in found[0]
        batch = runner.model.data_preprocessor(
            next(iter(runner.train_dataloader)), True
        )
        # Class indices: nothing is mixed.
        assert 'gt_score' not in batch['data_samples'][0]


def test_mixup_of_a_plain_network_is_used(warnings):
    found, runner = warnings(**{'model.train_cfg': MIXUP})
    assert found == []
    [mixup] = runner.model.data_preprocessor.batch_augments.augments
    assert type(mixup).__name__ == 'Mixup' and mixup.alpha == 1


@pytest.mark.parametrize('kind', ['sub_model', 'mmrazor.sub_model', sub_model])
def test_preprocessor_beside_a_pruned_network_is_refused(kind):
    """A pure-Python config names the function itself."""
    network = Config.fromfile(CONFIG).model
    model = dict(type=kind, cfg=network, data_preprocessor=dict(mean=[78.4]))
    with pytest.raises(ValueError, match='MMRazor drops a data_preprocessor'):
        check_augmentation(SimpleNamespace(cfg=Config(dict(model=model))))
