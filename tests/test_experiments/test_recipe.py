import pytest
from mmengine.config import Config
from test_experiments.logs import KD

from mmdskd.experiments.recipe import flatten, read_recipe
from mmdskd.utils.files import find_project_folder


@pytest.fixture
def recipe():
    """Read the recipe of a config of the project, with other options."""
    path = find_project_folder('configs') / f'kd/digits/{KD}.py'

    def read(name=KD, **options):
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options)
        return read_recipe(cfg, name)

    return read


def test_flatten():
    node = dict(a=[dict(b=1), 2], c=dict(d=(None,)), e={})
    assert dict(flatten(node)) == {'a.0.b': 1, 'a.1': 2, 'c.d.0': None}


def test_settings_that_change_no_result(recipe):
    assert recipe() == recipe(
        **{
            'model.teacher_ckpt': '/elsewhere.pth',
            'train_dataloader.num_workers': 4,
            'train_dataloader.dataset.dataset.data_root': '/data',
            'default_hooks.checkpoint.interval': 1,
            'randomness.seed': 3,
            'resume': True,
            'load_from': 'epoch_5.pth',
        }
    )


@pytest.mark.parametrize(
    'checkpoint, changes',
    [('runs/seed1/student_init.pth', False), ('runs/pretrained.pth', True)],
)
def test_random_weights_of_a_file_are_no_setting(recipe, checkpoint, changes):
    """As the students of the demo start from."""
    options = {
        'model.architecture.init_cfg': dict(
            type='Pretrained', checkpoint=checkpoint
        )
    }
    assert (recipe(**options) != recipe()) == changes


# A config for one device has another batch size on several.
@pytest.mark.parametrize(
    'option, value',
    [
        ('launcher', 'pytorch'),
        ('load_from', 'other.pth'),
        ('val_cfg.fp16', True),
        ('val_evaluator.topk', (5,)),
        ('model.teacher_ckpt', None),
    ],
)
def test_settings_that_change_a_result(recipe, option, value):
    changed = set(recipe(**{option: value}).items()) ^ set(recipe().items())
    keys = {key for key, _ in changed}
    assert keys
    assert all(key.startswith(option) for key in keys)


def test_config_for_several_devices_needs_a_launcher(recipe):
    name = KD.replace('1xb64', '8xb32')
    assert recipe(name, launcher='pytorch') == recipe(name)


def test_pure_python_config_names_the_same_types():
    plain, pure = (
        Config(dict(model=dict(type=name, _scope_=scope)))
        for name, scope in (
            ('mmdskd.CIFARResNet', 'mmpretrain'),
            ('mmdskd.models.architectures.CIFARResNet', None),
        )
    )
    assert read_recipe(plain, 'a') == read_recipe(pure, 'a')
    assert read_recipe(plain, 'a')['model.type'] == 'CIFARResNet'
