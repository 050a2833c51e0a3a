import pytest
import torch
from hooked_networks import RenamingClassifier, randomize
from mmengine.registry import MODELS
from torch import nn

from mmdskd.models.utils.teacher_weights import digest, load_teacher
from mmdskd.utils.state_dict import find_tensors


@pytest.fixture
def teacher(dskd_config):
    return MODELS.build(dskd_config.model.teacher)


@pytest.fixture
def load(teacher, tmp_path):
    """Save a checkpoint, load it into the teacher, return its weights."""

    def run(state_dict, key='state_dict'):
        path = tmp_path / 'teacher.pth'
        torch.save({key: state_dict} if key else dict(state_dict), path)
        for param in teacher.parameters():
            nn.init.constant_(param, 7)
        load_teacher(teacher, str(path))
        return teacher.state_dict()

    return run


def random_weights(teacher):
    return {
        name: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in teacher.state_dict().items()
    }


def test_checkpoint_is_loaded(teacher, load):
    weights = random_weights(teacher)
    for name, found in (
        ('whole', load(weights)),
        ('bare', load(weights, key=None)),
        ('parallel', load({f'module.{k}': v for k, v in weights.items()})),
        ('preprocessor', load(dict(weights, **{
            'data_preprocessor.mean': torch.zeros(1)}))),
        ('uncounted', load({k: v for k, v in weights.items()
                            if 'num_batches_tracked' not in k})),
        ('distilled', load({
            **{f'architecture.{k}': v for k, v in weights.items()},
            **{f'teacher.{k}': v + 1 for k, v in weights.items()},
            'architecture.data_preprocessor.mean': torch.zeros(1),
            'teacher_digest': torch.zeros(32)})),
    ):  # yapf: disable
        assert found.keys() == weights.keys(), name
        for key, value in weights.items():
            assert torch.equal(found[key], value), (name, key)


def test_teacher_that_resizes_what_it_loads(tmp_path):
    """Its position embedding fits images of any size."""

    def build(img_size):
        return MODELS.build(
            dict(
                type='mmpretrain.VisionTransformer',
                arch=dict(
                    embed_dims=8,
                    num_layers=1,
                    num_heads=2,
                    feedforward_channels=8,
                ),
                img_size=img_size,
                patch_size=16,
            )
        )

    path = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=build(64).state_dict()), path)
    load_teacher(build(32), str(path))


def test_checkpoint_of_another_network(dskd_config, load):
    other = dskd_config.model.teacher
    other.backbone.depth = 14
    with pytest.raises(
        ValueError,
        match='teacher_ckpt should .*teacher.pth.* does not. unexpected: '
        r'backbone.layer1.1.conv1.weight, .* and \d+ more',
    ):
        load(MODELS.build(other).state_dict())
    other.backbone.depth = 8
    other.head.num_classes = 7
    with pytest.raises(
        ValueError,
        match='teacher.pth.* is of 7 classes, and model.teacher of 10: '
        r'size mismatch for head.fc.weight: .*\[7, 32\].*\[10, 32\].* '
        'Fine-tune the teacher on the data of the student first: '
        r'head.num_classes=10 and .* See docs/pairs.md, "A teacher of',
    ):
        load(MODELS.build(other).state_dict())


def test_many_wrong_shapes_are_shortened(dskd_config, load):
    other = dskd_config.model.teacher
    other.backbone.stage_channels = (16, 32, 64)
    other.head.in_channels = 64
    with pytest.raises(ValueError, match=r'and \d+ more') as error:
        load(MODELS.build(other).state_dict())
    assert str(error.value).count('size mismatch') == 3


def test_missing_file(teacher):
    with pytest.raises(
        FileNotFoundError,
        match="there is no '/no/such.pth'.*Train the teacher first",
    ):
        load_teacher(teacher, '/no/such.pth')


def test_data_preprocessor_is_no_part_of_the_teacher(dskd_config, tmp_path):
    """Its random state differs from run to run."""
    dskd_config.model.teacher.data_preprocessor = dict(
        type='mmdskd.AugmentingDataPreprocessor',
        augments=[dict(type='mmdskd.BatchRandomFlip')],
    )
    teacher = MODELS.build(dskd_config.model.teacher)
    path = tmp_path / 'teacher.pth'
    torch.save(teacher.state_dict(), path)
    before = digest(teacher)
    teacher.data_preprocessor.augments.batches = 7
    assert torch.equal(digest(teacher), before)
    load_teacher(teacher, str(path))


def test_digest_is_of_names_shapes_and_values():
    digests = [
        digest(module)
        for module in (
            nn.Linear(2, 2, bias=False),
            nn.Conv1d(2, 2, 1, bias=False),
            nn.Sequential(nn.Linear(2, 2, bias=False)),
            nn.BatchNorm1d(2).to(torch.bfloat16),
        )
    ]
    assert {(d.shape, d.dtype) for d in digests} == {((32,), torch.uint8)}
    assert len({bytes(d.tolist()) for d in digests}) == 4

    linear = nn.Linear(2, 2)
    before = digest(linear)
    assert torch.equal(digest(linear), before)
    with torch.no_grad():
        linear.weight[0, 0] += 1e-6
    assert not torch.equal(digest(linear), before)


@pytest.mark.parametrize('prefix', ['', 'architecture.'])
def test_class_that_renames_its_tensors(tmp_path, prefix):
    """A distilled student of it has the names of the tree."""
    path = str(tmp_path / 'teacher.pth')
    saved = randomize(RenamingClassifier(), 1)
    weights = find_tensors(saved) if prefix else saved.state_dict()
    torch.save({prefix + name: w for name, w in weights.items()}, path)
    teacher = RenamingClassifier()
    load_teacher(teacher, path)
    for name, tensor in find_tensors(saved).items():
        assert torch.equal(find_tensors(teacher)[name], tensor), name
