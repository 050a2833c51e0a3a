import copy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmrazor.registry import MODELS as MMRAZOR_MODELS

from mmdskd.models import DSKDLoss, FeatureMapConnector
from mmdskd.registry import MODELS
from mmdskd.utils import resolve_auto

ROOT = Path(__file__).resolve().parents[2]
QUICK = ('digits', 'wrn40-2_mobilenetv2', 'resnet50_vgg8')


def config_param(path):
    quick = any(name in path.name for name in QUICK)
    return pytest.param(
        path, id=path.stem, marks=() if quick else pytest.mark.slow
    )


def plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(
    'path',
    [
        config_param(path)
        for path in sorted((ROOT / 'configs/dskd').rglob('*.py'))
    ],
)
def test_finds_what_our_configs_say(path):
    cfg = Config.fromfile(path)
    distiller = cfg.model.distiller
    expected = copy.deepcopy(distiller.to_dict())
    heads = distiller.connectors.heads
    for key in set(heads) - {'type', 'head'}:
        del heads[key]
    heads.in_channels = 'auto'
    distiller.distill_losses.loss_dskd.num_branches = 'auto'
    assert resolve_auto(cfg) is cfg
    assert {k: plain(v) for k, v in heads.items()} == {
        k: plain(v) for k, v in expected['connectors']['heads'].items()
    }
    assert distiller.to_dict()['distill_losses'] == expected['distill_losses']


def test_nothing_to_find_costs_nothing(dskd_config, monkeypatch):
    monkeypatch.setattr('mmdskd.pairing.auto.build_plain', None)
    before = copy.deepcopy(dskd_config.to_dict())
    assert resolve_auto(dskd_config).to_dict() == before
    plain_config = Config(dict(model=dict(type='any')))
    assert resolve_auto(plain_config) is plain_config


@pytest.fixture
def auto_config(dskd_config):
    """A config that leaves out all shapes."""
    distiller = dskd_config.model.distiller
    distiller.connectors.heads = dict(
        type='mmdskd.DSKDConnector', in_channels='auto'
    )
    distiller.distill_losses.loss_dskd.num_branches = 'auto'
    return dskd_config


def test_what_is_given_stays(auto_config):
    heads = auto_config.model.distiller.connectors.heads
    heads.update(
        out_size=(2, 2), num_classes='auto', head=dict(type='mmdskd.ConvHead')
    )
    resolve_auto(auto_config)
    assert heads == dict(
        type='mmdskd.DSKDConnector',
        in_channels=[4, 8],
        out_size=(2, 2),
        out_channels=32,
        num_classes=10,
        head=dict(type='mmdskd.ConvHead'),
    )


def test_no_classifier_without_a_loss_for_it(auto_config):
    distiller = auto_config.model.distiller
    distiller.distill_losses.loss_dskd.logit_loss = None
    resolve_auto(auto_config)
    assert distiller.connectors.heads.num_classes is None


def test_shape_of_images_can_be_given(auto_config):
    for split in ('train', 'val', 'test'):
        auto_config[f'{split}_dataloader'].dataset.pipeline = []
    with pytest.raises(
        ValueError, match=r'give image_shape=\(channels, height, width\)'
    ):
        resolve_auto(copy.deepcopy(auto_config))
    resolve_auto(auto_config, (1, 32, 32))
    assert auto_config.model.distiller.connectors.heads.strides == [4, 2]


def test_teacher_of_another_size(auto_config):
    auto_config.model.type = 'mmdskd.FrozenTeacherDistill'
    auto_config.model.teacher_input_size = 32
    auto_config.model.teacher.backbone.in_channels = 3
    auto_config.model.teacher_data_preprocessor = dict(
        mean=[127.5] * 3, std=[127.5] * 3
    )
    heads = resolve_auto(auto_config).model.distiller.connectors.heads
    # 16x16 and 8x8 of the student, to 8x8 in place of 4x4.
    assert heads.strides == [2, 1]


def test_self_distillation(auto_config):
    auto_config.model.type = 'SelfDistill'
    del auto_config.model.teacher
    resolve_auto(auto_config)
    assert auto_config.model.distiller.connectors.heads.out_channels == 16


def test_types_may_be_classes(auto_config):
    distiller = auto_config.model.distiller
    distiller.distill_losses.loss_dskd['type'] = DSKDLoss
    resolve_auto(auto_config)
    assert distiller.distill_losses.loss_dskd.num_branches == 2


def test_name_of_a_loss_in_the_scope_of_mmrazor(auto_config, monkeypatch):
    monkeypatch.setitem(
        MMRAZOR_MODELS._module_dict,
        'OwnLoss',
        type('OwnLoss', (DSKDLoss,), {}),
    )
    loss = auto_config.model.distiller.distill_losses.loss_dskd
    loss.type = 'OwnLoss'
    resolve_auto(auto_config)
    assert loss.num_branches == 2


def vit():
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=8
            ),
            img_size=16,
            patch_size=4,
            in_channels=1,
        ),
        neck=None,
        head=dict(
            type='VisionTransformerClsHead', num_classes=10, in_channels=8
        ),
    )


def test_tokens_of_student_and_teacher(auto_config, build_runner):
    model = auto_config.model
    model.architecture = model.teacher = vit()
    distiller = model.distiller
    for side in ('student', 'teacher'):
        distiller[f'{side}_recorders'].logits.source = 'head.layers.head'
    distiller.student_recorders.shallow.sources = ['backbone.layers.1']
    distiller.teacher_recorders.feat.source = 'backbone.ln1'
    with pytest.raises(
        ValueError,
        match=r"feat_T should be a map .* 'backbone.ln1' gives 8x4x4 "
        r'\(16 \+ 1 tokens\): let it go through a connector',
    ):
        resolve_auto(copy.deepcopy(auto_config))
    distiller.loss_forward_mappings.loss_dskd.feat_T.connector = 'teacher_map'
    distiller.connectors.teacher_map = dict(
        type='mmdskd.FeatureMapConnector', layout='auto'
    )
    resolve_auto(auto_config)
    layout = dict(order='NLC', num_extra_tokens=1)
    assert distiller.connectors.teacher_map.layout == layout
    assert distiller.connectors.heads == dict(
        type='mmdskd.DSKDConnector',
        in_channels=[8],
        strides=[1],
        layouts=layout,
        out_channels=8,
        num_classes=10,
    )
    auto_config.train_cfg.max_epochs = 1
    runner = build_runner(auto_config)
    runner.train()
    assert isinstance(
        runner.model.distiller.connectors.teacher_map, FeatureMapConnector
    )


def test_map_in_a_tuple(auto_config):
    """As a backbone returns it."""
    distiller = auto_config.model.distiller
    distiller.teacher_recorders.feat.source = 'backbone'
    with pytest.raises(
        ValueError,
        match=r"'backbone' gives 32x4x4 in a tuple: let it go through a conn",
    ):
        resolve_auto(copy.deepcopy(auto_config))
    taken_out = copy.deepcopy(auto_config)
    connected = copy.deepcopy(auto_config)
    for cfg in (taken_out, connected):
        mapping = cfg.model.distiller.loss_forward_mappings.loss_dskd
        if cfg is taken_out:
            mapping.feat_T.data_idx = 0
        else:
            mapping.feat_T.connector = 'teacher_map'
            cfg.model.distiller.connectors.teacher_map = dict(
                type='mmdskd.FeatureMapConnector', layout='auto'
            )
        resolve_auto(cfg)
        assert cfg.model.distiller.connectors.heads.out_channels == 32
        assert cfg.model.distiller.connectors.heads.strides == [4, 2]
    teacher_map = connected.model.distiller.connectors.teacher_map
    assert teacher_map.layout == 'NCHW'


def test_a_resolved_config_is_dumped(auto_config, build_runner):
    runner = build_runner(resolve_auto(auto_config))
    runner.dump_config()
    dumped = Config.fromfile(next(Path(runner._log_dir).parent.glob('*.py')))
    assert dumped.model.distiller.connectors.heads.in_channels == [4, 8]


def test_unresolved_is_refused_where_it_is_built(auto_config, build_runner):
    with pytest.raises(Exception, match='call mmdskd.utils.resolve_auto'):
        build_runner(auto_config)
    with pytest.raises(
        ValueError,
        match='DSKDLoss: num_branches should be known when it is built',
    ):
        MODELS.build(
            dict(
                type='mmdskd.DSKDLoss',
                num_branches='auto',
                feat_loss=dict(type='L2Loss'),
            )
        )


def unused(distiller):
    del distiller.loss_forward_mappings.loss_dskd.branches['connector']


def wrong_place(distiller):
    distiller.distill_losses.loss_kd.tau = 'auto'


def one_output(distiller):
    distiller.student_recorders.shallow = dict(
        type='ModuleOutputs', source='backbone.layer1'
    )


def unknown_recorder(distiller):
    distiller.loss_forward_mappings.loss_dskd.branches.recorder = 'deep'


def inputs(distiller):
    distiller.teacher_recorders.feat.type = 'ModuleInputs'


def wrong_name(distiller):
    distiller.student_recorders.shallow.sources = ['backbone.layer7']


@pytest.mark.parametrize(
    'change, error, message',
    [
        (unused, ValueError, "no record in .* has connector='heads'"),
        (
            wrong_place,
            ValueError,
            "loss_kd.tau: 'auto' should be in_channels of",
        ),
        (
            one_output,
            ValueError,
            'branches should be recorded by mmdskd.Multi',
        ),
        (unknown_recorder, ValueError, "student_recorders should have 'deep'"),
        (inputs, ValueError, "'feat' should be a ModuleOutputs for 'auto'"),
        (
            wrong_name,
            KeyError,
            "'backbone.layer7' is not a module of the student; "
            'did you mean backbone.layer',
        ),
    ],
)
def test_what_cannot_be_found(auto_config, change, error, message):
    change(auto_config.model.distiller)
    with pytest.raises(error, match=message):
        resolve_auto(auto_config)


@pytest.mark.parametrize('num_branches', ['absent', None, 'auto'])
def test_number_of_branches_needs_no_network(
    dskd_config, monkeypatch, num_branches
):
    """Whatever else is left out, or is not."""
    monkeypatch.setattr('mmdskd.pairing.auto.build_plain', None)
    loss = dskd_config.model.distiller.distill_losses.loss_dskd
    del loss['num_branches']
    if num_branches != 'absent':
        loss.num_branches = num_branches
    # Nor does it need the shape of the images.
    for split in ('train', 'val', 'test'):
        dskd_config[f'{split}_dataloader'].dataset.pipeline = []
    resolve_auto(dskd_config)
    assert loss.num_branches == 2
    dskd_config.model.distiller.student_recorders.shallow.sources.append('a')
    loss.num_branches = 1
    resolve_auto(dskd_config)
    assert loss.num_branches == 1  # given, and told when it is built


def test_number_of_branches_of_a_loss_that_gets_none(dskd_config):
    distiller = dskd_config.model.distiller
    del distiller.distill_losses.loss_dskd['num_branches']
    del distiller.loss_forward_mappings.loss_dskd['branches']
    with pytest.raises(
        ValueError, match='mappings of loss_dskd should give branches'
    ):
        resolve_auto(dskd_config)
