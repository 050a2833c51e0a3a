import pytest

from mmdskd.experiments.pairs import PAIRS
from mmdskd.utils.config import load_config
from mmdskd.utils.files import find_project_folder

PROJECT = find_project_folder('configs').parent


@pytest.mark.parametrize('name', PAIRS)
def test_configs_exist(name):
    pair = PAIRS[name]
    assert list(pair.configs) == ['teacher', 'student', 'kd', 'dskd']
    teacher, student = pair.networks.split('_')
    for method, stem in dict(
        teacher=f'{teacher}_{pair.teacher_ending or pair.ending}',
        student=f'{student}_{pair.ending}',
        kd=f'kd_{pair.networks}_{pair.ending}',
        dskd=f'dskd_{pair.networks}_{pair.ending}',
    ).items():
        path = PROJECT / pair.configs[method]
        assert path.is_file()
        assert path.stem == stem


@pytest.mark.parametrize('name', PAIRS)
def test_teacher_is_that_of_the_configs(name):
    configs = PAIRS[name].configs
    teacher = load_config(str(PROJECT / configs['teacher']))
    for method in ('kd', 'dskd'):
        cfg = load_config(str(PROJECT / configs[method]))
        stem = configs['teacher'].rpartition('/')[2].removesuffix('.py')
        assert cfg.model.teacher_ckpt == (
            f'work_dirs/{stem}/epoch_{teacher.train_cfg.max_epochs}.pth'
        )
        assert cfg.model.teacher.backbone == teacher.model.backbone


def test_part_of_a_data_set_has_the_teacher_of_all():
    assert PAIRS['resnet20_mobilenetv2-thin_fashion-mnist6k'].configs == dict(
        teacher='configs/vanilla/fashion_mnist/'
        'resnet20_1xb64_fashion-mnist.py',
        student='configs/vanilla/fashion_mnist/'
        'mobilenetv2-thin_1xb64_fashion-mnist6k.py',
        kd='configs/kd/fashion_mnist/'
        'kd_resnet20_mobilenetv2-thin_1xb64_fashion-mnist6k.py',
        dskd='configs/dskd/fashion_mnist/'
        'dskd_resnet20_mobilenetv2-thin_1xb64_fashion-mnist6k.py',
    )
