"""Students of other families, of other packages and with other data, in ONNX
and TorchScript."""

import pytest
import torch
from test_export.students import save

from mmdskd.export.deployable import Graph
from mmdskd.export.deployment import export_student
from mmdskd.export.export_settings import Settings
from mmdskd.export.exporters import ExportError
from mmdskd.export.load_student import load_student, make_student

MEAN_STD = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
GAP = dict(type='GlobalAveragePooling')


def classifier(backbone, channels, neck=GAP, head='LinearClsHead', **kwargs):
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=backbone,
        neck=neck,
        head=dict(type=head, num_classes=10, in_channels=channels),
        **kwargs,
    )


def use(cfg, model, **preprocessor):
    """Let a config of the digits be that of a plain network."""
    cfg.model = model
    cfg.custom_hooks = []
    cfg.data_preprocessor = dict(MEAN_STD, to_rgb=True, **preprocessor)
    return cfg


VIT = dict(
    type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=8
)
NETWORKS = {
    'vit': (
        classifier(VIT, 192, neck=None, head='VisionTransformerClsHead'),
        32,
        Settings(),
    ),
    'swin': (
        classifier(
            dict(
                type='SwinTransformer', arch='tiny', img_size=32,
                window_size=2, pad_small_map=True,
            ),
            768,
        ),
        32,
        Settings(batch=2, colors='rgb'),
    ),
    'mobilenet': (
        classifier(dict(type='MobileNetV2'), 1280),
        64,
        Settings(graph=Graph('outside', 'scores')),
    ),
    'shufflenet': (
        classifier(dict(type='ShuffleNetV2'), 1024),
        64,
        Settings(batch=3),
    ),
    'convnext': (
        classifier(dict(type='ConvNeXt', arch='atto'), 320, neck=None),
        64,
        Settings(graph=Graph(output='scores')),
    ),
    # Its softmax is not that of its logits alone: the head scales them.
    'arcface': (
        classifier(dict(type='MobileNetV2'), 1280, head='ArcFaceClsHead'),
        64,
        Settings(graph=Graph(output='scores')),
    ),
    'timm': (
        dict(
            type='TimmClassifier', _scope_='mmpretrain',
            model_name='mobilenetv3_small_050', num_classes=10,
        ),
        64,
        Settings(graph=Graph(output='scores')),
    ),
    'timm_vit': (
        dict(
            type='TimmClassifier', _scope_='mmpretrain', img_size=32,
            model_name='vit_tiny_patch16_224', num_classes=10,
        ),
        32,
        Settings(),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('suffix', ['onnx', 'pt'])
@pytest.mark.parametrize('name', list(NETWORKS))
def test_networks(kd_config, tmp_path, name, suffix):
    if suffix == 'onnx':
        pytest.importorskip('onnx')
        pytest.importorskip('onnxruntime')
    if name.startswith('timm'):
        pytest.importorskip('timm')
    model, size, settings = NETWORKS[name]
    cfg = use(kd_config, model)
    student = load_student(cfg, save(cfg, tmp_path / 'a.pth'))
    settings = settings._replace(shape=(3, size, size), num_images=10)
    found = export_student(student, str(tmp_path / f'a.{suffix}'), settings)
    assert found.notes == []
    assert found.comparison.agreeing == 10
    assert found.comparison.relative < 1e-4
    rgb = settings.colors or settings.graph.normalize == 'outside'
    assert found.metadata['colors'] == ('rgb' if rgb else 'bgr')


@pytest.mark.slow
def test_a_network_that_computes_with_its_batch(kd_config, tmp_path):
    """Swin divides by its number of windows: an export of any batch mixes
    images, and is refused."""
    model, size, _ = NETWORKS['swin']
    cfg = use(kd_config, model)
    student = load_student(cfg, save(cfg, tmp_path / 'a.pth'))
    settings = Settings(shape=(3, size, size), num_images=10)
    with pytest.raises(ExportError) as info:
        export_student(student, str(tmp_path / 'a.pt'), settings)
    message = str(info.value)
    assert 'what comes out differs from the student' in message
    assert message.endswith('try a fixed one, such as --batch 1')
    assert not (tmp_path / 'a.pt').exists()


@pytest.mark.slow
def test_network_of_hugging_face(kd_config, tmp_path):
    transformers = pytest.importorskip('transformers')
    folder = tmp_path / 'vit'
    transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        num_labels=10,
    ).save_pretrained(folder)
    cfg = use(
        kd_config,
        dict(
            type='HuggingFaceClassifier',
            _scope_='mmpretrain',
            model_name=str(folder),
            num_labels=10,
        ),
    )
    student = load_student(cfg, save(cfg, tmp_path / 'a.pth'))
    settings = Settings(shape=(3, 32, 32), num_images=10)
    for suffix in ('pt', 'onnx'):
        if suffix == 'onnx':
            pytest.importorskip('onnx')
            pytest.importorskip('onnxruntime')
        path = str(tmp_path / f'a.{suffix}')
        found = export_student(student, path, settings)
        assert found.comparison.agreeing == 10


def test_padding_of_the_preprocessor(kd_config, tmp_path):
    """Inside it is done as in the run; images need not fit."""
    model = classifier(dict(type='MobileNetV2', widen_factor=0.25), 1280)
    cfg = use(kd_config, model, pad_size_divisor=32)
    student = load_student(cfg, save(cfg, tmp_path / 'a.pth'))
    settings = Settings(shape=(3, 30, 40), num_images=10)
    for graph, size in ((Graph(), [30, 40]), (Graph('outside'), [32, 64])):
        found = export_student(
            student, str(tmp_path / 'a.pt'), settings._replace(graph=graph)
        )
        assert found.shapes['images'] == ['batch', 3, *size]
        assert found.comparison.relative < 1e-4


def test_averaged_weights_are_exported(kd_config, tmp_path, build_runner):
    kd_config.train_cfg.max_epochs = 1
    kd_config.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    runner = build_runner(kd_config)
    runner.train()
    found = load_student(kd_config, f'{runner.work_dir}/epoch_1.pth')
    ours = found.network.state_dict()
    (hook,) = (
        hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook'
    )
    name = 'backbone.conv1.weight'
    averaged = hook.ema_model.module.state_dict()[f'architecture.{name}']
    trained = runner.model.state_dict()[f'architecture.{name}']
    assert torch.equal(ours[name], averaged)
    assert not torch.equal(ours[name], trained)


def test_random_student_of_a_config(kd_config):
    student = make_student(kd_config)
    assert not student.network.training
    assert student.network.head.fc.weight.shape == (10, 16)
    assert make_student(use(kd_config, kd_config.model.architecture))


def test_several_outputs_have_names(kd_config, tmp_path):
    heads = {
        name: dict(type='LinearClsHead', num_classes=number, in_channels=16)
        for name, number in (('a', 3), ('b', 4))
    }
    cfg = kd_config
    cfg.model = cfg.model.architecture
    cfg.model.head = dict(type='MultiTaskHead', task_heads=heads)
    cfg.custom_hooks = []
    student = load_student(cfg, save(cfg, tmp_path / 'a.pth'))
    found = export_student(
        student, str(tmp_path / 'a.pt'), Settings(shape=(1, 16, 16))
    )
    assert found.shapes == dict(
        images=['batch', 1, 16, 16],
        logits_0=['batch', 3],
        logits_1=['batch', 4],
    )
