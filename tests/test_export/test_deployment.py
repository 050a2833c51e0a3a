"""Students as files, without ONNX where TorchScript shows the same."""

import copy
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from multi_labels import use_multi_labels
from test_export.students import save

from mmdskd.export.deployable import Graph
from mmdskd.export.deployment import export_run, export_student
from mmdskd.export.export_settings import Settings
from mmdskd.export.exporters import ExportError
from mmdskd.export.load_student import load_student
from mmdskd.export.multi_exit import find_exits, make_multi_exit_config
from mmdskd.export.student_config import make_student_config
from mmdskd.export.torchscript_file import open_torchscript

jit_load = pytest.mark.filterwarnings('ignore:.*torch.jit.load')
FEW = Settings(num_images=12)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'student.pt')


def read_metadata(path: str) -> dict:
    """Read what a TorchScript file tells of itself."""
    extra = {'metadata.json': ''}
    torch.jit.load(path, _extra_files=extra)
    return json.loads(extra['metadata.json'])


def predict(cfg, weights, batch):
    """What the student of the run makes of images, by its own test."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(copy.deepcopy(cfg.model.to_dict()))
    model.load_state_dict(torch.load(weights, weights_only=True)['state_dict'])
    model.eval()  # an algorithm of MMRazor returns None
    return torch.stack([s.pred_score for s in model.test_step(batch)])


@jit_load
def test_algorithm_to_scores_of_its_own_test(kd_config, tmp_path, path):
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    student = load_student(kd_config, weights)
    assert not student.network.training
    settings = FEW._replace(graph=Graph(output='scores'))
    found = export_student(student, path, settings)
    assert found.shapes == dict(
        images=['batch', 1, 16, 16], scores=['batch', 10]
    )
    assert found.comparison.images == found.comparison.agreeing == 12
    assert found.comparison.sizes == (1, 2, 7)
    assert found.notes == []
    pixels = torch.randint(256, (3, 1, 16, 16), dtype=torch.uint8)
    (scores,) = open_torchscript(path)(pixels.float())
    expected = predict(kd_config, weights, dict(inputs=pixels))
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
    metadata = read_metadata(path)
    assert metadata == found.metadata
    assert json.loads(metadata['mean']) == [pytest.approx(77.7, rel=1e-5)]
    assert (metadata['colors'], metadata['normalize']) == ('grey', 'inside')
    assert metadata['checkpoint'] == 'epoch_1.pth'
    assert json.loads(metadata['pipeline'])[0]['type'] == 'mmpretrain.Resize'


def test_normalised_outside(kd_config, tmp_path, path):
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    student = load_student(kd_config, weights)
    export_student(student, path, FEW._replace(graph=Graph('outside')))
    pixels = torch.randint(256, (2, 1, 16, 16)).float()
    (logits,) = open_torchscript(path)((pixels - 77.7) / 33.3)
    expected = predict(kd_config, weights, dict(inputs=pixels))
    torch.testing.assert_close(
        logits.softmax(1), expected, rtol=1e-4, atol=1e-6
    )


def test_plain_config_with_each_checkpoint(kd_config, tmp_path):
    """The student's config, with its own checkpoint or that of the run."""
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    own = make_student_config(kd_config)
    of_run = load_student(kd_config, weights).network.state_dict()
    plain = tmp_path / 'plain.pth'
    torch.save(
        dict(state_dict={f'module.{k}': v for k, v in of_run.items()}), plain
    )
    for cfg, checkpoint in ((own, weights), (own, plain), (kd_config, plain)):
        found = load_student(cfg, str(checkpoint)).network.state_dict()
        assert found.keys() == of_run.keys()
        assert all(torch.equal(found[k], of_run[k]) for k in found)


@pytest.mark.parametrize('exit, outputs', [('all', 3), (1, 1)])
def test_exits(dskd_config, tmp_path, path, exit, outputs):
    weights = save(dskd_config, tmp_path / 'epoch_1.pth')
    student = load_student(dskd_config, weights, exits=True)
    assert student.num_exits == 2
    export_student(student, path, FEW._replace(graph=Graph(exit=exit)))
    pixels = torch.randint(256, (2, 1, 16, 16)).float()
    ours = open_torchscript(path)(pixels)
    network = student.network
    with torch.no_grad():
        theirs = network.exit_logits(
            network.data_preprocessor(dict(inputs=pixels))['inputs']
        )
    theirs = theirs if exit == 'all' else [theirs[exit]]
    assert len(ours) == outputs
    for values, expected in zip(ours, theirs):
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)


@jit_load
def test_what_follows_an_exit_is_not_in_the_file(dskd_config, tmp_path):
    weights = save(dskd_config, tmp_path / 'epoch_1.pth')
    student = load_student(dskd_config, weights, exits=True)
    sizes = []
    for exit in (0, 'all'):
        file = tmp_path / f'{exit}.pt'
        export_student(student, str(file), Settings(graph=Graph(exit=exit)))
        module = torch.jit.load(str(file))
        nodes = module.inlined_graph.findAllNodes('aten::_convolution')
        sizes.append(len(nodes))
    # Stem and first stage with two convolutions, and those of the head
    assert sizes[0] < sizes[1]
    assert sizes[0] == 3 + len(
        [
            m
            for m in student.network.exits.heads[0].modules()
            if isinstance(m, torch.nn.Conv2d)
        ]
    )


def test_multi_exit_student_by_its_own_config(dskd_config, tmp_path, path):
    weights = save(dskd_config, tmp_path / 'epoch_1.pth')
    student = load_student(dskd_config, weights, exits=True)
    cfg = make_multi_exit_config(dskd_config, find_exits(dskd_config), 0.5)
    own = str(tmp_path / 'own.pth')
    torch.save(dict(state_dict=student.network.state_dict()), own)
    assert load_student(cfg, own).num_exits == 2
    config = tmp_path / 'multi_exit.py'
    cfg.dump(config)
    found = export_run(str(config), path, own, FEW)
    assert list(found.shapes) == ['images', 'exit_0', 'exit_1', 'logits']


@pytest.mark.parametrize('output', ['logits', 'scores'])
def test_several_labels_and_colors(kd_config, tmp_path, path, output):
    cfg = use_multi_labels(kd_config, tmp_path)
    cfg.model.data_preprocessor.update(mean=[10.0, 100.0, 200.0], to_rgb=True)
    weights = save(cfg, tmp_path / 'epoch_1.pth')
    student = load_student(cfg, weights)
    pixels = torch.randint(256, (3, 3, 16, 16)).float()
    expected = predict(cfg, weights, dict(inputs=pixels))
    assert not torch.allclose(expected.sum(1), torch.ones(3))  # sigmoids
    graph = Graph(output=output)
    for colors, taken in ((None, pixels), ('rgb', pixels.flip(1))):
        settings = FEW._replace(graph=graph, colors=colors)
        found = export_student(student, path, settings)
        assert found.metadata['colors'] == (colors or 'bgr')
        (values,) = open_torchscript(path)(taken)
        if output == 'logits':
            values = values.sigmoid()
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6)


def test_augmenting_preprocessor_of_one_batch(kd_config, tmp_path, path):
    cfg = kd_config
    cfg.model.data_preprocessor = dict(
        type='mmdskd.AugmentingDataPreprocessor',
        augments=[
            dict(type='mmdskd.BatchRandomCrop', crop_size=16, padding=1)
        ],
        mean=[77.7],
        std=[33.3],
    )
    weights = save(cfg, tmp_path / 'epoch_1.pth')
    student = load_student(cfg, weights)
    found = export_student(student, path, FEW._replace(batch=2))
    assert found.shapes['images'] == [2, 1, 16, 16]
    assert found.comparison.sizes == (2,)
    plain = copy.deepcopy(cfg)
    plain.model = cfg.model.architecture
    plain.data_preprocessor = cfg.model.data_preprocessor
    plain.custom_hooks = []
    weights = save(plain, tmp_path / 'plain.pth')
    with pytest.raises(FileExistsError, match='replace it by --force'):
        export_run('c.py', path, weights, FEW)
    config = tmp_path / 'plain.py'
    plain.dump(config)
    found = export_run(str(config), path, weights, FEW, force=True)
    assert found.comparison.agreeing == 12


def test_a_file_that_differs_is_not_left(kd_config, tmp_path, path):
    student = load_student(
        kd_config, save(kd_config, tmp_path / 'epoch_1.pth')
    )
    (tmp_path / 'student.pt').write_text('as it was')
    network = student.network
    forward = network.extract_feat
    calls = []

    def drift(inputs):
        """Not the same twice"""
        calls.append(None)
        (feat,) = forward(inputs)
        return (feat + len(calls),)

    network.extract_feat = drift
    with pytest.raises(ExportError) as info:
        export_student(student, path, FEW)
    message = str(info.value)
    assert message.startswith(
        'No file was written: what comes out differs from the student: '
    )
    assert '; at most 0.0001 is allowed. If the network' in message
    assert (tmp_path / 'student.pt').read_text() == 'as it was'
    unchecked = FEW._replace(check=False)
    assert export_student(student, path, unchecked).comparison is None


def test_a_batch_that_is_baked_in_is_found(kd_config, tmp_path, path):
    student = load_student(
        kd_config, save(kd_config, tmp_path / 'epoch_1.pth')
    )
    forward = student.network.head.forward
    student.network.head.forward = lambda feats: forward(feats).reshape(
        int(feats[-1].shape[0]), 10
    )
    with pytest.raises(ExportError, match='not run on a batch of 1'):
        export_student(student, path, FEW)
    export_student(student, path, FEW._replace(batch=2))


def test_no_images(kd_config, tmp_path, path):
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    cfg = make_student_config(kd_config)
    cfg.test_dataloader.dataset = dict(
        type='CIFAR10', data_root=str(tmp_path / 'no'), split='test'
    )
    student = load_student(cfg, weights)
    with pytest.raises(ValueError, match='there are none .*Give the shape'):
        export_student(student, path, FEW)
    found = export_student(student, path, FEW._replace(shape=(1, 16, 16)))
    assert found.comparison.images == 12
    with pytest.raises(ExportError, match=r'images of \(3, 16, 16\)'):
        export_student(student, path, FEW._replace(shape=(3, 16, 16)))


def test_a_pipeline_that_normalises(kd_config, tmp_path, path):
    """What it gives are no pixels, and the file says so."""
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    found = export_student(load_student(kd_config, weights), path, FEW)
    assert found.metadata['range'] == '[0, 255]'
    kd_config.test_dataloader.dataset.pipeline.insert(
        1, dict(type='mmcv.Normalize', mean=[1.0], std=[2.0], to_rgb=False)
    )
    found = export_student(load_student(kd_config, weights), path, FEW)
    assert 'range' not in found.metadata
    assert found.comparison.agreeing == 12


def test_wrong_pairs(kd_config, dskd_config, tmp_path):
    weights = save(kd_config, tmp_path / 'epoch_1.pth')
    with pytest.raises(ValueError, match='Exits should come from the config'):
        load_student(make_student_config(kd_config), weights, exits=True)
    teacher = make_student_config(kd_config)
    teacher.model.backbone.depth = 14
    with pytest.raises(ValueError, match='epoch_1.pth should hold the weight'):
        load_student(teacher, weights)
    teacher.model.backbone.depth = 7
    with pytest.raises(ValueError, match='can be built here, but ValueError'):
        load_student(teacher, weights)
    teacher.model.type = 'NoNetwork'
    with pytest.raises(ValueError, match="'NoNetwork' is not: name its packa"):
        load_student(teacher, weights)
    torch.save(dict(a=1), tmp_path / 'no.pth')
    with pytest.raises(TypeError, match='"state_dict".*but holds a$'):
        load_student(kd_config, str(tmp_path / 'no.pth'))
    with pytest.raises(ValueError, match="a config with 'model'"):
        load_student(Config(dict(a=1)), weights)
    with pytest.raises(ValueError, match='a dict with a "type"'):
        load_student(Config(dict(model=dict(a=1))), weights)


@pytest.mark.parametrize(
    'graph, message',
    [
        (Graph('within'), 'normalize should be one of inside, outside, but'),
        (Graph(output='x'), 'output should be one of logits, scores, but got'),
        (Graph(exit=0), 'exit should be given for a multi-exit student only'),
    ],
)
def test_wrong_graphs(kd_config, tmp_path, path, graph, message):
    student = load_student(
        kd_config, save(kd_config, tmp_path / 'epoch_1.pth')
    )
    with pytest.raises(ValueError, match=message):
        export_student(student, path, FEW._replace(graph=graph))


def test_an_exit_that_is_not_there(dskd_config, tmp_path, path):
    weights = save(dskd_config, tmp_path / 'epoch_1.pth')
    student = load_student(dskd_config, weights, exits=True)
    with pytest.raises(ValueError, match='from 0 to 1, .* but got 2'):
        export_student(student, path, FEW._replace(graph=Graph(exit=2)))


@pytest.mark.parametrize(
    'name, changes, error, message',
    [
        ('a.txt', {}, ValueError, 'should end with .onnx, .pt, '),
        ('a.pt', dict(opset=17), ValueError, 'given for ONNX only'),
        ('a.pt', dict(batch=0), ValueError, 'batch should be >= 1, but got 0'),
        ('a.pt', dict(num_images=0), ValueError, 'num_images should be >= 1'),
        ('a.pt', dict(colors='gbr'), ValueError, 'of rgb, bgr, but got'),
        (
            'a.pt',
            dict(colors='rgb', graph=Graph('outside')),
            ValueError,
            'with the normalisation inside only',
        ),
        ('no/a.pt', {}, FileNotFoundError, 'Make it first'),
    ],
)
def test_wrong_settings_before_all_work(
    tmp_path, name, changes, error, message
):
    with pytest.raises(error, match=message):
        export_run(
            '/no/run', str(tmp_path / name), settings=FEW._replace(**changes)
        )


@pytest.mark.parametrize('opset', [3, 99])
def test_an_opset_that_onnx_does_not_know(tmp_path, opset):
    pytest.importorskip('onnx')
    with pytest.raises(ValueError, match=f'opset should .* but got {opset}'):
        export_run(
            '/no/run',
            str(tmp_path / 'a.onnx'),
            settings=FEW._replace(opset=opset, check=False),
        )


def test_colors_of_grey_images(kd_config, tmp_path, path):
    student = load_student(
        kd_config, save(kd_config, tmp_path / 'epoch_1.pth')
    )
    with pytest.raises(ValueError, match="is grey, but got 'rgb'"):
        export_student(student, path, FEW._replace(colors='rgb'))
