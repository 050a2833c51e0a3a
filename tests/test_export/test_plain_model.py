import json

import pytest
from mmengine.config import Config

from mmdskd.export.student_config import make_student_config


def test_config_depends_on_no_pretrained_weights(kd_config):
    pretrained = dict(type='Pretrained', checkpoint='/teacher/of.pth')
    normal = dict(type='Normal', layer='Conv2d')
    architecture = kd_config.model.architecture
    architecture.pretrained = '/teacher/of.pth'
    architecture.init_cfg = pretrained
    architecture.backbone.init_cfg = [normal, pretrained]
    architecture.head.init_cfg = [
        dict(type='mmengine.model.PretrainedInit', checkpoint='/of.pth')
    ]
    architecture.neck.init_cfg = normal
    model = make_student_config(kd_config).model
    assert '.pth' not in str(model)
    assert model.backbone.init_cfg == [normal]
    assert model.neck.init_cfg == normal
    assert not {'init_cfg', 'pretrained'} & set(model)
    assert 'init_cfg' not in model.head


def test_config_from_a_package_path(kd_config):
    kd_config.model.architecture = dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        pretrained=True,
        init_cfg=dict(type='Normal', layer='Conv2d'),
    )
    model = make_student_config(kd_config).model
    assert model._scope_ == 'mmpretrain'
    assert model.backbone.type == 'ResNet_CIFAR'
    assert model.init_cfg.type == 'Normal'
    assert not {'cfg_path', 'pretrained'} & set(model)
    assert model.data_preprocessor == kd_config.model.data_preprocessor
    del kd_config.model['data_preprocessor']
    model = make_student_config(kd_config).model
    assert model.data_preprocessor.num_classes == 10


WIDTHS = {
    'type': 'ChannelMutator',
    'channel_unit_cfg': {
        'type': 'L1MutableChannelUnit',
        'units': {
            'backbone.conv1_(0, 4)_4': {
                'init_args': {'num_channels': 4},
                'choice': 2,
            }
        },
    },
}


@pytest.mark.parametrize('scope', [True, False])
def test_config_of_a_pruned_student(kd_config, tmp_path, scope):
    """The widths are in it, and the preprocessor is the network's."""
    path = tmp_path / 'fix_subnet.json'
    path.write_text(json.dumps(WIDTHS))
    network = kd_config.model.architecture
    network.init_cfg = dict(type='Pretrained', checkpoint='/net.pth')
    kd_config.model.architecture = dict(
        type='sub_model',
        mode='mutator',
        cfg=network,
        fix_subnet=str(path),
        init_cfg=dict(type='Pretrained', checkpoint='/pruned.pth'),
    )
    if scope:
        kd_config.model.architecture._scope_ = 'mmrazor'
    cfg = make_student_config(kd_config)
    assert cfg.model._scope_ == 'mmrazor'
    assert cfg.model.cfg._scope_ == 'mmpretrain'
    assert cfg.model.fix_subnet == WIDTHS
    assert cfg.model.cfg.data_preprocessor == kd_config.model.data_preprocessor
    assert 'data_preprocessor' not in cfg.model
    assert '.pth' not in str(cfg.model)
    assert cfg.custom_imports.imports == ['mmdskd']
    text = Config.fromstring(cfg.pretty_text, '.py')
    assert text.to_dict() == cfg.to_dict()

    path.unlink()
    with pytest.raises(FileNotFoundError):
        make_student_config(kd_config)


def test_functions_that_hide_the_widths_are_refused(kd_config):
    kd_config.model.architecture = dict(
        type='GroupFisherSubModel', algorithm=dict()
    )
    with pytest.raises(
        TypeError, match='sub_model of one, but got GroupFisherSubModel'
    ):
        make_student_config(kd_config)


def test_scope_of_the_model(kd_config):
    del kd_config.model.architecture['_scope_']
    assert make_student_config(kd_config).model._scope_ == 'mmrazor'
    del kd_config.model['_scope_']
    assert make_student_config(kd_config).model._scope_ == 'mmpretrain'
