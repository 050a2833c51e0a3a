"""Data that can't be trained on is found before the first iteration."""

import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset, Subset

from mmdskd.datasets import Digits, InMemoryDataset
from mmdskd.engine import RunCheckHook
from mmdskd.engine.checks.data_check import check_images
from mmdskd.engine.checks.label_check import (
    Classes,
    check_batch_labels,
    check_labels,
    find_classes,
    find_reader,
)

PIPELINE = [
    dict(type='mmpretrain.Resize', scale=16),
    dict(type='mmpretrain.PackInputs'),
]
CLASSES = Classes('model.head.num_classes', 10)


@DATASETS.register_module()
class OddDigits(Digits):
    """Digits with labels that are no classes."""

    def __init__(self, odd, **kwargs):
        self.odd = odd
        super().__init__(**kwargs)

    def load_data_list(self):
        found = super().load_data_list()
        for index, label in self.odd.items():
            found[index]['gt_label'] = label
        return found


@DATASETS.register_module()
class Silent(Dataset):
    """A data set that tells no label without its image."""

    def __init__(self, labels, size=16):
        self.labels = labels
        self.size = size

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        sample = DataSample().set_gt_label(self.labels[index])
        sample.set_field(index, 'sample_idx', field_type='metainfo')
        image = torch.zeros(1, self.size, self.size, dtype=torch.uint8)
        return dict(inputs=image, data_samples=sample)


def odd(split='train', **labels):
    return dict(
        type='OddDigits',
        odd={int(key[1:]): value for key, value in labels.items()},
        split=split,
        indices=50,
        pipeline=PIPELINE,
    )


def replaced(dataset):
    return dict(dataset, _delete_=True)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {'train_dataloader.dataset': replaced(odd(_7=10))},
            'The labels of train_dataloader.dataset (OddDigits) should be in '
            '0 to 9, as model.architecture.head.num_classes is 10, but image '
            '7 has label 10',
        ),
        (
            {'train_dataloader.dataset': replaced(odd(_3=-1))},
            'image 3 has label -1',
        ),
        (
            {'train_dataloader.dataset': replaced(odd(_49=255))},
            'image 49 has label 255',
        ),
        (
            {'val_dataloader.dataset': replaced(odd('test', _2=12))},
            'The labels of val_dataloader.dataset (OddDigits) should be in 0 '
            'to 9, as model.architecture.head.num_classes is 10, but image 2 '
            'has label 12',
        ),
        (
            {'train_dataloader.dataset': replaced(odd(_5=[2, 11]))},
            'image 5 has label 11',
        ),
        (
            {'train_dataloader.dataset': replaced(odd(_5=1.5))},
            'image 5 has label 1.5',
        ),
        (
            {
                'train_dataloader.dataset': dict(
                    type='RepeatDataset',
                    times=2,
                    dataset=dict(odd(_4=10), _scope_='mmengine'),
                    _delete_=True,
                )
            },
            'train_dataloader.dataset (RepeatDataset of OddDigits) should be '
            'in 0 to 9, as model.architecture.head.num_classes is 10, but '
            'image 4 has label 10',
        ),
        (
            {
                'train_dataloader.collate_fn': dict(
                    type='mmdskd.collate_batch'
                ),
                'train_dataloader.dataset': dict(
                    type='mmdskd.InMemoryDataset',
                    dataset=odd(_6=10),
                    _delete_=True,
                ),
            },
            '(InMemoryDataset of OddDigits) should be in 0 to 9, as '
            'model.architecture.head.num_classes is 10, but image 6 has label '
            '10',
        ),
        (
            {
                'model.type': 'mmrazor.SingleTeacherDistill',
                'model.teacher.head.num_classes': 5,
                'model.distiller': dict(
                    type='ConfigurableDistiller', _delete_=True
                ),
                'custom_hooks': [],
            },
            'as model.teacher.head.num_classes is 5, but image 5 has label 5',
        ),
        # Nothing to train on.
        (
            {
                'train_dataloader.drop_last': True,
                'train_dataloader.batch_size': 101,
            },
            'train_dataloader.batch_size should be at most the number of '
            'images, 100, as drop_last=True, but got 101: there would be no '
            'iteration',
        ),
        (
            {
                'val_dataloader.dataset': dict(
                    type='Silent', labels=[], _delete_=True
                )
            },
            'val_dataloader.dataset should hold images, but Silent is empty',
        ),
        # Normalisation.
        (
            {'model.data_preprocessor.std': [0.0]},
            'model.data_preprocessor.std should be positive and finite, but '
            'got [0.0]',
        ),
        (
            {'model.data_preprocessor.std': [-33.3]},
            'model.data_preprocessor.std should be positive and finite',
        ),
        (
            {'model.data_preprocessor.std': [float('nan')]},
            'model.data_preprocessor.std should be positive and finite, but '
            'got [nan]',
        ),
        (
            {'model.data_preprocessor.mean': [float('inf')]},
            'model.data_preprocessor.mean should be finite, but got [inf]',
        ),
        (
            {
                'model.data_preprocessor.mean': [1.0] * 3,
                'model.data_preprocessor.std': [1.0] * 3,
            },
            'model.data_preprocessor: mean and std should have one value, or '
            'one for each channel of the images, 1, but have 3',
        ),
    ],
)
def test_what_is_wrong_is_reported(check_runner, changes, message):
    with pytest.raises(ValueError) as error:
        check_runner(changes)
    assert message in str(error.value)


def test_a_plain_network_is_checked_too(run_config, check_runner):
    run_config.model = dict(
        run_config.model.architecture,
        data_preprocessor=run_config.model.data_preprocessor,
    )
    run_config.custom_hooks = []
    check_runner()
    with pytest.raises(
        ValueError, match='as model.head.num_classes is 9, but image 9 has la'
    ):
        check_runner({'model.head.num_classes': 9})


def test_labels_that_cross_entropy_ignores_pass(check_runner):
    check_runner({'train_dataloader.dataset': replaced(odd(_9=-100))})


def test_classes_are_those_of_the_fewest(run_config, build_runner):
    run_config.model.distiller = dict(type='ConfigurableDistiller')
    run_config.custom_hooks = []
    run_config.model.teacher.head.num_classes = 7
    model = build_runner(run_config).model
    # The teacher goes without its task loss.
    assert find_classes(model).number == 10
    run_config.model.type = 'mmrazor.SingleTeacherDistill'
    model = build_runner(run_config).model
    assert find_classes(model) == ('model.teacher.head.num_classes', 7)
    assert find_classes(torch.nn.Linear(2, 2)) is None


def digits(size):
    return Digits(split='train', indices=size, pipeline=PIPELINE)


def test_wrappers_are_looked_through():
    one, two = digits(5), digits(7)
    expected = [one.get_cat_ids(i) for i in range(5)]
    expected += [two.get_cat_ids(i) for i in range(7)]
    for dataset, labels in (
        (ConcatDataset([one, two]), expected),
        (RepeatDataset(one, 2), expected[:5] * 2),
        (Subset(two, [6, 0]), [expected[11], expected[5]]),
        (InMemoryDataset(one), expected[:5]),
        (torch.utils.data.ConcatDataset([one, two]), expected),
    ):
        read = find_reader(dataset)
        assert [list(read(i)) for i in range(len(dataset))] == labels
    assert find_reader(Silent([1])) is None
    assert find_reader(Subset(Silent([1]), [0])) is None


@pytest.mark.parametrize('label', [10, -1])
def test_labels_that_are_not_told_are_checked_batch_by_batch(
    run_config, build_runner, label
):
    labels = [1] * 30 + [label] + [1] * 9
    run_config.train_dataloader.dataset = dict(type='Silent', labels=labels)
    run_config.train_dataloader.sampler.shuffle = False
    run_config.default_hooks.run_check = dict(type='mmdskd.RunCheckHook')
    runner = build_runner(run_config)
    with pytest.raises(
        ValueError,
        match='The labels of train_dataloader.dataset should be in 0 to 9, as '
        'model.architecture.head.num_classes is 10, but image 30 has label '
        f'{label}',
    ):
        runner.train()
    assert runner.iter == 1  # the second batch of 20


def test_labels_of_many_images_are_checked_in_part(
    run_config, build_runner, monkeypatch
):
    monkeypatch.setattr('mmdskd.engine.checks.label_check.MAX_READ', 10)
    runner = build_runner(run_config)
    assert check_labels(runner) == ('model.architecture.head.num_classes', 10)
    monkeypatch.setattr('mmdskd.engine.checks.label_check.MAX_READ', 100)
    assert check_labels(runner) is None


def test_batches_without_labels_pass():
    check_batch_labels(dict(data_samples=[DataSample()]), CLASSES)
    check_batch_labels(dict(inputs=[]), CLASSES)
    check_batch_labels(None, CLASSES)


def test_a_hook_without_a_training_does_nothing():
    RunCheckHook().before_train_iter(None, 0, dict(data_samples=1))


@pytest.mark.parametrize('size', [16, 24])
def test_images_of_another_size_are_reported(
    run_config, build_runner, listen, size
):
    run_config.val_dataloader.dataset.pipeline[0].scale = size
    runner = build_runner(run_config)
    messages = listen()
    check_images(runner)
    assert [m for m in messages if 'pixels' in m] == [
        'WARNING: The images of training are 16x16 pixels, those of '
        'validation 24x24. If this is not meant, compare the crops and '
        'resizes of their pipelines, and the augments of the '
        'data_preprocessor.'
    ] * (size == 24)


def test_a_network_of_one_size_refuses_another(run_config, build_runner):
    run_config.val_dataloader.dataset.pipeline[0].scale = 24
    runner = build_runner(run_config)
    network = runner.model.architecture
    network.backbone.layer3 = torch.nn.Sequential(
        network.backbone.layer3, torch.nn.LayerNorm([16, 4, 4])
    )
    with pytest.raises(
        ValueError,
        match='The images of train_dataloader and val_dataloader should have '
        r'one size, as FrozenTeacherDistill does not run on another one \('
        'RuntimeError: .*, but those of training are 16x16 pixels and those '
        'of validation 24x24. Compare the crops',
    ):
        check_images(runner)
