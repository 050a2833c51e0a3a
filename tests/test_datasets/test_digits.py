import pickle
from unittest import TestCase, mock

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmpretrain.datasets import BaseDataset
from torch.utils.data import DataLoader

from mmdskd.datasets import Digits
from mmdskd.registry import DATASETS

load_digits = pytest.importorskip('sklearn.datasets').load_digits
train_test_split = pytest.importorskip(
    'sklearn.model_selection'
).train_test_split

PIPELINE = [
    dict(type='Resize', scale=16, _scope_='mmpretrain'),
    dict(type='RandomCrop', crop_size=16, padding=2, _scope_='mmpretrain'),
    dict(type='PackInputs', _scope_='mmpretrain'),
]


def images(dataset):
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


class TestDigits(TestCase):
    def test_halves_are_those_of_scikit_learn(self):
        digits = load_digits()
        imgs, labels = {}, {}
        imgs['train'], imgs['test'], labels['train'], labels['test'] = (
            train_test_split(
                digits.images, digits.target, test_size=0.5, shuffle=False
            )
        )
        for split, size in (('train', 898), ('test', 899)):
            dataset = Digits(split)
            self.assertEqual(len(dataset), size)
            np.testing.assert_array_equal(
                dataset.get_gt_labels(), labels[split]
            )
            # 0..16 is spread over 0..255, and nothing is lost on the way.
            np.testing.assert_array_equal(
                np.rint(images(dataset) / 255 * 16), imgs[split]
            )

    def test_tuning_splits_part_the_training_half(self):
        parts = [Digits('tune_train'), Digits('tune_val')]
        self.assertEqual([len(part) for part in parts], [646, 252])
        train = Digits('train')
        np.testing.assert_array_equal(
            np.concatenate([images(part) for part in parts]), images(train)
        )
        np.testing.assert_array_equal(
            np.concatenate([part.get_gt_labels() for part in parts]),
            train.get_gt_labels(),
        )

    def test_tuning_splits_meet_where_the_text_starts_again(self):
        # Every writer's text starts with three times 0 to 9.
        start = np.tile(np.arange(10), 3)
        for split in ('tune_train', 'tune_val'):
            np.testing.assert_array_equal(
                Digits(split).get_gt_labels()[:30], start
            )

    def test_no_image_is_in_two_splits(self):
        train, test = (
            {img.tobytes() for img in images(Digits(split))}
            for split in ('train', 'test')
        )
        self.assertEqual(train & test, set())

    def test_images(self):
        dataset = Digits('train')
        self.assertIsInstance(dataset, BaseDataset)
        img = dataset[0]['img']
        self.assertEqual((img.dtype, img.shape), (np.uint8, (8, 8)))
        # The first row of the first image, [0, 0, 5, 13, 9, 1, 0, 0].
        self.assertEqual(img[0].tolist(), [0, 0, 80, 207, 143, 16, 0, 0])
        self.assertEqual(images(dataset).max(), 255)
        self.assertEqual(dataset.metainfo['classes'], tuple('0123456789'))
        self.assertEqual(dataset.get_cat_ids(3), [3])

    def test_through_a_pipeline_and_workers(self):
        dataset = DATASETS.build(
            dict(type='mmdskd.Digits', split='test', pipeline=PIPELINE)
        )
        loader = DataLoader(
            dataset,
            batch_size=64,
            sampler=DefaultSampler(dataset, shuffle=False),
            num_workers=2,
            collate_fn=pseudo_collate,
        )
        labels = []
        for batch in loader:
            for img in batch['inputs']:
                self.assertEqual(img.shape, (1, 16, 16))
            labels += [int(s.gt_label) for s in batch['data_samples']]
        self.assertEqual(labels, dataset.get_gt_labels().tolist())

    def test_grey_without_transforms(self):
        dataset = Digits('train', pipeline=PIPELINE[-1:])
        self.assertEqual(dataset[0]['inputs'].shape, (1, 8, 8))

    def test_options_of_the_base_dataset(self):
        self.assertEqual(len(Digits('train', indices=10)), 10)
        dataset = Digits('test', lazy_init=True, test_mode=True)
        self.assertIn("Haven't been initialized", repr(dataset))
        dataset.full_init()
        self.assertEqual(len(dataset), 899)
        self.assertIn('Split: \ttest', repr(dataset))
        copied = pickle.loads(pickle.dumps(dataset))
        np.testing.assert_array_equal(images(copied), images(dataset))

    def test_unknown_split(self):
        with self.assertRaisesRegex(
            ValueError,
            r"split should be one of \['train', 'test', "
            r"'tune_train', 'tune_val'\], but got 'val'",
        ):
            Digits('val')

    def test_without_scikit_learn(self):
        with (
            mock.patch.dict('sys.modules', {'sklearn.datasets': None}),
            self.assertRaisesRegex(ImportError, 'pip install scikit-learn'),
        ):
            Digits('train')
