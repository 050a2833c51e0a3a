import os

import hooked_networks
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdskd.engine.checks.loaded_weights import PartialCheckpointError
from mmdskd.engine.hooks import LoadedWeightsHook
from mmdskd.export.multi_exit import find_exits, make_multi_exit_config
from mmdskd.utils.state_dict import find_tensors

DEFAULT = dict(type='mmdskd.LoadedWeightsHook')


@pytest.fixture
def cfg(dskd_config):
    """DSKD for an epoch, with the hook."""
    dskd_config.default_hooks.loaded_weights = DEFAULT
    dskd_config.default_hooks.checkpoint = None
    dskd_config.custom_hooks = []
    dskd_config.train_cfg.max_epochs = 1
    return dskd_config


def build(model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(Config(dict(model=model)).model)


@pytest.fixture
def save(tmp_path):
    def run(network, change=dict, name='file.pth'):
        path = tmp_path / name
        torch.save(dict(state_dict=change(network.state_dict())), path)
        return str(path)

    return run


def load(cfg, build_runner, path, test=False):
    """Load as a training or a test does, and return the runner."""
    cfg.load_from = path
    runner = build_runner(cfg)
    if test:
        assert runner.test_loop is not None
    else:
        runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.load_or_resume()
    return runner


def plain_config(cfg):
    cfg.model = cfg.model.architecture
    cfg.model.data_preprocessor = dict(type='ClsDataPreprocessor')
    return cfg


def assert_same(ours, theirs):
    theirs = find_tensors(theirs)
    for name, tensor in find_tensors(ours).items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize('kind', [None, *hooked_networks.CLASSES])
def test_plain_student_is_loaded(cfg, build_runner, save, kind, capfd):
    if kind is not None:
        if kind in (
            hooked_networks.PartialClassifier,
            hooked_networks.SecretClassifier,
        ):
            pytest.skip('its own checkpoints are not whole')
        cfg.model.architecture = dict(type=f'mmengine.{kind.__name__}')
        cfg.model.distiller = dict(type='ConfigurableDistiller')
    student = build(cfg.model.architecture)
    if kind is not None:
        hooked_networks.randomize(student, 1)
    path = save(student)
    runner = load(cfg, build_runner, path)
    assert_same(runner.model.architecture, student)
    log = ''.join(capfd.readouterr())
    assert 'is a checkpoint of the plain student' in log
    assert 'do not match exactly' not in log


def test_averaged_student_begins_with_it_too(cfg, build_runner, save):
    cfg.custom_hooks = [dict(type='EMAHook')]
    student = build(cfg.model.architecture)
    path = save(student)
    cfg.load_from = path
    runner = build_runner(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.call_hook('before_run')
    runner.load_or_resume()
    (ema,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    assert_same(ema.ema_model.module.architecture, student)


@pytest.mark.parametrize('test', [False, True])
def test_checkpoint_of_the_algorithm_is_loaded(cfg, build_runner, save, test):
    algorithm = build(cfg.model)
    runner = load(cfg, build_runner, save(algorithm), test)
    assert_same(runner.model, algorithm)


def test_prefix_of_a_wrapper(cfg, build_runner, save):
    student = build(cfg.model.architecture)

    def wrap(weights):
        return {f'module.{name}': value for name, value in weights.items()}

    runner = load(cfg, build_runner, save(student, wrap))
    assert_same(runner.model.architecture, student)
    algorithm = build(cfg.model)
    runner = load(cfg, build_runner, save(algorithm, wrap))
    assert_same(runner.model, algorithm)


def test_weights_alone(cfg, build_runner, tmp_path):
    student = build(cfg.model.architecture)
    path = str(tmp_path / 'weights.pth')
    torch.save(student.state_dict(), path)
    runner = load(cfg, build_runner, path)
    assert_same(runner.model.architecture, student)


def test_network_with_a_part_named_module(cfg, build_runner, save):
    """MMEngine takes "module." for the prefix of a wrapper."""
    plain_config(cfg).model = dict(type='mmengine.ModuleClassifier')
    student = hooked_networks.randomize(build(cfg.model), 1)

    def wrap(weights):
        return {f'module.{name}': value for name, value in weights.items()}

    for path in (save(student), save(student, wrap, 'wrapped.pth')):
        for test in (False, True):
            runner = load(cfg, build_runner, path, test)
            assert_same(runner.model, student)


def test_adapter_that_saves_a_part(cfg, build_runner, save):
    """MMPretrain's LoRAModel, which hides what is not loaded."""
    model = plain_config(cfg).model
    model.neck = None
    model.head.type = 'VisionTransformerClsHead'
    model.head.in_channels = 8
    vit = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
    model.backbone = dict(
        type='LoRAModel',
        module=dict(
            type='VisionTransformer',
            arch=vit,
            img_size=16,
            patch_size=8,
            in_channels=1,
        ),
        alpha=2,
        rank=2,
        targets=[dict(type='qkv')],
    )
    student = hooked_networks.randomize(build(model), 1)
    path = save(student, lambda weights: dict(find_tensors(student)))
    runner = load(cfg, build_runner, path, test=True)
    assert_same(runner.model, student)
    with pytest.raises(
        PartialCheckpointError, match='backbone.module.cls_token'
    ):
        load(cfg, build_runner, save(student), test=True)


@pytest.mark.parametrize('first', ['mmrazor', 'mmdskd'])
def test_algorithms_with_and_without_the_teacher(
    cfg, build_runner, save, tmp_path, first
):
    teacher = build(cfg.model.teacher)
    cfg.model.teacher_ckpt = save(teacher, name='teacher.pth')
    kinds = ['mmrazor.SingleTeacherDistill', 'mmdskd.FrozenTeacherDistill']
    if first == 'mmdskd':
        kinds.reverse()
    cfg.model.type = kinds[0]
    algorithm = build(cfg.model)
    path = save(algorithm)
    cfg.model.type = kinds[1]
    runner = load(cfg, build_runner, path)
    assert_same(runner.model.architecture, algorithm.architecture)
    assert_same(runner.model.teacher, teacher)

    if first == 'mmdskd':  # a checkpoint without a teacher
        cfg.model.teacher_ckpt = None
        load(cfg, build_runner, path, test=True)
        with pytest.raises(
            PartialCheckpointError, match='It is the teacher that differs'
        ):
            load(cfg, build_runner, path)


def distillation_in_test(cfg, save):
    return save(build(cfg.model.architecture)), True


def teacher_file(cfg, save):
    return save(build(cfg.model.teacher)), False


def other_network(cfg, save):
    cfg.model.architecture.backbone.depth = 14
    path = save(build(cfg.model.architecture))
    cfg.model.architecture.backbone.depth = 8
    return path, False


def other_classes(cfg, save):
    path = save(build(cfg.model))
    cfg.model.architecture.head.num_classes = 7
    return path, False


def deeper_student(cfg, save):
    path = save(build(cfg.model))
    cfg.model.architecture.backbone.depth = 14
    return path, True


def other_heads(cfg, save):
    path = save(build(cfg.model))
    del cfg.model.distiller.connectors
    del cfg.model.distiller.distill_losses.loss_dskd
    del cfg.model.distiller.loss_forward_mappings.loss_dskd
    return path, False


def student_config(cfg, save):
    path = save(build(cfg.model))
    plain_config(cfg)
    return path, True


def multi_exit_config(cfg, save):
    path = save(build(cfg.model.architecture))
    cfg.model = make_multi_exit_config(cfg, find_exits(cfg)).model
    return path, True


def multi_exit_file(cfg, save):
    model = make_multi_exit_config(cfg, find_exits(cfg)).model
    path = save(build(model))
    plain_config(cfg)
    return path, True


def renamed_distillation(cfg, save):
    cfg.model.architecture = dict(type='mmengine.RenamingClassifier')
    cfg.model.distiller = dict(type='ConfigurableDistiller')
    path = save(build(cfg.model))
    plain_config(cfg)
    return path, True


@pytest.mark.parametrize(
    'make, found',
    [
        (
            distillation_in_test,
            'this is the config of the distillation, and the file of a plain '
            'network. To test a student, take student_config.py',
        ),
        (teacher_file, "This is the teacher's file: name it by model.teach"),
        (other_network, 'the file of a plain network, but of another one'),
        (other_classes, 'another number of classes'),
        (deeper_student, 'another network, such as of another depth'),
        (other_heads, 'another distillation, whose student fits'),
        (student_config, "student's config, and the file of the distillat"),
        (multi_exit_config, 'config of a multi-exit student, and the file of'),
        (multi_exit_file, 'it belongs to multi_exit_config.py'),
        (renamed_distillation, "student's config, and the file of the dist"),
    ],
)
def test_what_does_not_fit_is_explained(cfg, build_runner, save, make, found):
    path, test = make(cfg, save)
    with pytest.raises(PartialCheckpointError) as error:
        load(cfg, build_runner, path, test)
    assert found in str(error.value)
    assert f"load_from='{path}' should" in str(error.value)


def test_counts_and_first_names(cfg, build_runner, save):
    algorithm = build(cfg.model)

    def change(weights):
        weights = dict(weights, other=torch.ones(1))
        for name in ('weight', 'bias'):
            del weights[f'architecture.backbone.bn1.{name}']
        weights['architecture.head.fc.bias'] = torch.ones(7)
        return weights

    with pytest.raises(PartialCheckpointError) as error:
        load(cfg, build_runner, save(algorithm, change))
    total = len(find_tensors(algorithm))
    message = str(error.value)
    assert f'it leaves 2 of the {total} tensors of SingleTeach' in message
    assert (
        '(architecture.backbone.bn1.weight, architecture.backbone.bn1.bias)'
        in message
    )
    assert f'it brings 1 of its {total - 1} tensors for nothing (other)' in (
        message
    )
    assert 'has another shape for 1 of' in message
    assert '(architecture.head.fc.bias: copying a param' in message
    assert 'default_hooks.loaded_weights.allow_partial=True' in message


@pytest.mark.parametrize('make', [other_classes, other_heads, other_network])
def test_what_fits_in_part_may_be_meant(cfg, build_runner, save, make, capfd):
    path, test = make(cfg, save)
    cfg.default_hooks.loaded_weights = dict(DEFAULT, allow_partial=True)
    runner = load(cfg, build_runner, path, test)
    weights = torch.load(path, weights_only=True)['state_dict']
    name = 'backbone.conv1.weight'
    stem = weights.get(name, weights.get(f'architecture.{name}'))
    ours = runner.model.architecture.backbone.conv1.weight
    assert torch.equal(ours, stem)
    assert 'fits in part, as allow_partial says' in ''.join(capfd.readouterr())


def test_resume_of_a_plain_file_is_refused(cfg, build_runner, save):
    cfg.resume = True
    path = save(build(cfg.model.architecture))
    with pytest.raises(
        PartialCheckpointError,
        match=f'The checkpoint to resume, {path}, should be',
    ):
        load(cfg, build_runner, path)


def test_file_without_weights(cfg, build_runner, tmp_path):
    path = str(tmp_path / 'file.pth')
    torch.save(dict(model=dict(a=torch.ones(1)), epoch=1), path)
    with pytest.raises(
        PartialCheckpointError, match='"state_dict".*but has epoch, model'
    ):
        load(cfg, build_runner, path)


def test_empty_weights_are_named(cfg, build_runner, tmp_path):
    path = tmp_path / 'file.pth'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(PartialCheckpointError, match='has no tensor in it'):
        load(cfg, build_runner, str(path))


def test_argument_is_checked():
    with pytest.raises(TypeError, match="True or False, but got 'False'"):
        LoadedWeightsHook(allow_partial='False')


def test_each_run_of_the_tools_is_guarded(run_tool, cfg, tmp_path):
    del cfg.default_hooks.loaded_weights
    path = str(tmp_path / 'teacher.pth')
    torch.save(build(cfg.model.teacher).state_dict(), path)
    config = str(tmp_path / 'config.py')
    cfg.dump(config)
    with pytest.raises(PartialCheckpointError, match='config of the dist'):
        run_tool('test.py', config, path)
    with pytest.raises(PartialCheckpointError, match="the teacher's file"):
        run_tool('train.py', config, '--cfg-options', f'load_from={path}')
    run_tool(
        'train.py',
        config,
        '--allow-partial',
        '--cfg-options',
        f'load_from={path}',
    )
    assert os.path.isdir(cfg.work_dir)
