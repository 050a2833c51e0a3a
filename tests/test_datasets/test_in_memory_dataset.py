import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import (
    ConcatDataset,
    DefaultSampler,
    default_collate,
    pseudo_collate,
)
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor

from mmdskd.datasets import Digits, InMemoryDataset, collate_batch

RESIZE = dict(type='mmpretrain.Resize', scale=(16, 16))
PACK = dict(type='mmpretrain.PackInputs')


def digits(*transforms, **kwargs):
    return Digits(pipeline=list(transforms) or [RESIZE, PACK], **kwargs)


@pytest.fixture(scope='module')
def plain():
    return digits(indices=100)


@pytest.fixture(scope='module')
def dataset(plain):
    return InMemoryDataset(plain)


def dataloader(dataset, **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(
            dict(
                **{
                    **dict(
                        dataset=dataset,
                        batch_size=30,
                        num_workers=0,
                        collate_fn=dict(type='mmdskd.collate_batch'),
                        sampler=dict(type='DefaultSampler', shuffle=True),
                    ),
                    **kwargs,
                }
            ),
            seed=0,
        )


def assert_same(batch, expected):
    assert torch.equal(batch['inputs'], expected['inputs'])
    samples = list(zip(batch['data_samples'], expected['data_samples']))
    assert len(samples) == len(batch['inputs'])
    for mine, theirs in samples:
        assert torch.equal(mine.gt_label, theirs.gt_label)
        assert mine.sample_idx == theirs.sample_idx


def test_samples_are_those_of_the_data_set(plain, dataset):
    assert len(dataset) == 100
    for index in (0, 3, 99, -1):
        mine, theirs = dataset[index], plain[index]
        assert mine.keys() == theirs.keys() == {'inputs', 'data_samples'}
        assert mine['inputs'].dtype == torch.uint8
        assert torch.equal(mine['inputs'], theirs['inputs'])
        assert mine['data_samples'].gt_label == theirs['data_samples'].gt_label
        assert (
            mine['data_samples'].sample_idx
            == theirs['data_samples'].sample_idx
        )


def test_iteration_ends(dataset):
    assert len(list(dataset)) == 100
    with pytest.raises(IndexError):
        dataset[100]


def test_batch_is_what_mmengine_collates(plain, dataset):
    indices = [5, 99, 0, 5]
    expected = default_collate([plain[index] for index in indices])
    assert_same(dataset.__getitems__(indices), expected)
    assert_same(collate_batch([dataset[index] for index in indices]), expected)


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_of_a_dataloader(plain, dataset, workers):
    loader = dataloader(dataset, num_workers=workers)
    twin = dataloader(plain, collate_fn=dict(type='default_collate'))
    batches = list(zip(loader, twin))
    assert [len(batch['inputs']) for batch, _ in batches] == [30, 30, 30, 10]
    for batch, expected in batches:
        assert_same(batch, expected)


def test_fetcher_that_asks_for_one_by_one(dataset):
    """As in a wrapper, which has no whole batches."""

    class OneByOne:
        def __getitem__(self, index):
            return dataset[index]

        def __len__(self):
            return len(dataset)

    for batch, expected in zip(dataloader(OneByOne()), dataloader(dataset)):
        assert_same(batch, expected)


@pytest.mark.parametrize('collate_fn', [default_collate, pseudo_collate])
def test_other_collate_function_is_told(dataset, collate_fn):
    with pytest.raises(
        TypeError,
        match='should have collate_fn=dict.type="mmdskd.collate_batch"',
    ):
        collate_fn(dataset.__getitems__([0, 1]))


def test_arguments_of_the_data_set_have_their_place(dataset):
    with pytest.raises(
        TypeError,
        match='but got data_root, split: .* belong into .* as '
        'train_dataloader.dataset.dataset.data_root',
    ):
        InMemoryDataset(dataset=dataset.dataset, data_root='x', split='test')


def test_part_of_a_wrapper(dataset):
    """Those of MMEngine ask for one sample at a time."""
    both = ConcatDataset([digits(), digits()])
    assert len(InMemoryDataset(both)) == 2 * 898
    batches = list(dataloader(dataset, num_batch_per_epoch=2))
    assert [len(batch['inputs']) for batch in batches] == [30, 30]


def test_data_are_gathered_anew(dataset):
    """What happens to a batch stays there."""
    before = dataset.images.clone()
    batch = dataset.__getitems__([1, 2])
    batch['inputs'].zero_()
    batch['data_samples'][0].gt_label.fill_(7)
    batch['data_samples'][0].set_pred_label(3)
    assert torch.equal(dataset.images, before)
    sample = dataset[1]['data_samples']
    assert sample.gt_label == 1 and 'pred_label' not in sample
    # A label that is a view of all labels would drag them along.
    assert len(pickle.dumps(sample)) < 2000


def test_stock_preprocessor_takes_a_batch(plain, dataset):
    """As exported students have it."""
    preprocess = ClsDataPreprocessor(mean=[78.4], std=[81.7])
    data = preprocess(dataset.__getitems__([4, 7]))
    expected = preprocess(pseudo_collate([plain[4], plain[7]]))
    assert torch.equal(data['inputs'], expected['inputs'])
    assert [int(s.gt_label) for s in data['data_samples']] == [4, 7]


def test_pipeline_is_run_once_per_image():
    calls = []

    def count(results):
        calls.append(0)
        return results

    dataset = InMemoryDataset(
        digits(count, RESIZE, PACK, indices=20), lazy_init=True
    )
    assert not calls
    dataset.full_init()
    dataset.full_init()
    list(dataset)
    assert len(calls) == 20


def test_metadata(plain, dataset):
    assert dataset.metainfo == plain.metainfo
    assert tuple('0123456789') == dataset.CLASSES
    assert dataset.get_gt_labels().tolist() == plain.get_gt_labels().tolist()
    assert dataset.get_gt_labels().dtype == np.int64
    assert dataset.get_cat_ids(13) == plain.get_cat_ids(13)
    assert dataset.get_data_info(3)['gt_label'] == 3
    assert repr(dataset).startswith('InMemoryDataset, in memory:\nDataset Dig')


def test_metadata_need_no_image():
    dataset = InMemoryDataset(digits(lazy_init=True), lazy_init=True)
    assert dataset.metainfo['classes'] == tuple('0123456789')
    assert not dataset.dataset._fully_initialized
    assert len(dataset) == 898


def test_copies(dataset):
    for twin in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert_same(twin.__getitems__([3]), dataset.__getitems__([3]))


def test_from_a_config(dataset):
    config = ConfigDict(
        type='mmdskd.InMemoryDataset',
        dataset=dict(
            type='mmdskd.Digits', indices=100, pipeline=[RESIZE, PACK]
        ),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = ROOT_DATASETS.build(config)
    assert torch.equal(built.images, dataset.images)


def test_ranks_cover_the_data_set_once(dataset, monkeypatch):
    seen = []
    for rank in range(2):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, 2),
        )
        sampler = DefaultSampler(dataset, shuffle=True, seed=3)
        loader = torch.utils.data.DataLoader(
            dataset, 25, sampler=sampler, collate_fn=collate_batch
        )
        seen += [
            sample.sample_idx
            for batch in loader
            for sample in batch['data_samples']
        ]
    assert sorted(seen) == list(range(100))


def test_random_numbers_are_not_touched():
    torch.manual_seed(0)
    np.random.seed(0)
    expected = np.random.RandomState(0).rand()
    InMemoryDataset(digits(indices=10))
    assert np.random.rand() == expected
    assert torch.equal(
        torch.rand(1), torch.rand(1, generator=torch.manual_seed(0))
    )
