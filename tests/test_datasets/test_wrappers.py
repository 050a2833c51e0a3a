"""Wrappers of MMEngine and MMPretrain around an InMemoryDataset give what
they give around the data set itself."""

import pytest
import torch
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.registry import DATASETS, DefaultScope

from mmdskd.datasets import Digits, InMemoryDataset

PIPELINE = [
    dict(type='mmpretrain.Resize', scale=(16, 16)),
    dict(type='mmpretrain.PackInputs'),
]


def plain(**kwargs):
    return dict(type='mmdskd.Digits', pipeline=PIPELINE, **kwargs)


def in_memory(**kwargs):
    return dict(type='mmdskd.InMemoryDataset', dataset=plain(**kwargs))


def concat(make):
    return dict(
        type='ConcatDataset', datasets=[make(indices=20), make(indices=13)]
    )


def repeat(make):
    return dict(type='RepeatDataset', dataset=make(indices=17), times=3)


def balanced(make):
    return dict(
        type='ClassBalancedDataset',
        dataset=make(indices=53),
        oversample_thr=0.2,
    )


def k_fold(make, **kwargs):
    return dict(
        type='mmpretrain.KFoldDataset',
        dataset=make(indices=31),
        fold=1,
        num_splits=4,
        seed=3,
        **kwargs,
    )


def k_fold_test(make):
    return k_fold(make, test_mode=True)


def nested(make):
    return dict(type='RepeatDataset', dataset=concat(make), times=2)


def last_images(make):
    return make(indices=-9)


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(cfg)


def assert_same(mine, theirs):
    assert len(mine) == len(theirs) > 0
    for index in range(len(theirs)):
        ours, expected = mine[index], theirs[index]
        assert torch.equal(ours['inputs'], expected['inputs'])
        ours, expected = ours['data_samples'], expected['data_samples']
        assert torch.equal(ours.gt_label, expected.gt_label)
        assert ours.sample_idx == expected.sample_idx
        assert (
            mine.get_data_info(index)['gt_label']
            == theirs.get_data_info(index)['gt_label']
            == int(ours.gt_label)
        )
    assert mine.metainfo == theirs.metainfo


WRAPPERS = (concat, repeat, balanced, k_fold, k_fold_test, nested, last_images)


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_wrapper_around_it(wrap):
    mine, theirs = build(wrap(in_memory)), build(wrap(plain))
    assert_same(mine, theirs)
    for name in ('get_cat_ids', 'get_gt_labels'):
        if hasattr(theirs, name):
            arguments = [5] if name == 'get_cat_ids' else []
            found = getattr(mine, name)(*arguments)
            assert list(found) == list(getattr(theirs, name)(*arguments))


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_it_around_a_wrapper(wrap):
    theirs = build(wrap(plain))
    mine = build(dict(type='mmdskd.InMemoryDataset', dataset=wrap(plain)))
    assert_same(mine, theirs)
    indices = [len(theirs) - 1, 0, 3]
    batch = mine.__getitems__(indices)
    for image, sample, index in zip(*batch.values(), indices):
        expected = theirs[index]
        assert torch.equal(image, expected['inputs'])
        assert sample.sample_idx == expected['data_samples'].sample_idx


@pytest.mark.parametrize('indices', [7, -7, [9, 3, 3], range(4, 8), 0])
def test_part(indices):
    dataset = Digits(pipeline=PIPELINE, indices=30)
    whole = InMemoryDataset(dataset)
    part = whole.get_subset(indices)
    kept = InMemoryDataset(dataset)
    kept.get_subset_(indices)
    indices = indices if isinstance(indices, int) else list(indices)
    expected = dataset.get_subset(indices)
    assert len(whole) == 30
    if len(expected):
        assert_same(part, expected)
        assert_same(kept, expected)
    else:
        assert len(part) == len(kept) == 0
    # A part of a part
    if len(expected) > 2:
        assert_same(part.get_subset([2, 0]), expected.get_subset([2, 0]))


def test_lazy_wrapper_reads_nothing(monkeypatch):
    monkeypatch.setattr(Digits, 'load_data_list', None)
    cfg = dict(in_memory(lazy_init=True), lazy_init=True)
    wrapper = build(dict(repeat(lambda **_: cfg), lazy_init=True))
    assert not wrapper._fully_initialized
    assert not wrapper.dataset._fully_initialized


def test_objects_are_refused_by_the_wrapper():
    dataset = InMemoryDataset(Digits(pipeline=PIPELINE, indices=5))
    assert not isinstance(dataset, BaseDataset)
    with pytest.raises(TypeError, match='InMemoryDataset'):
        RepeatDataset(dataset, 2)


@pytest.mark.parametrize(
    'name', ['test_mode', 'indices', 'filter_cfg', 'metainfo', 'max_refetch']
)
def test_arguments_of_the_data_set_are_refused(name):
    with pytest.raises(
        TypeError,
        match=f'but got {name}: .* as train_dataloader.dataset.dataset.{name}',
    ):
        build(dict(in_memory(), **{name: 1}))
