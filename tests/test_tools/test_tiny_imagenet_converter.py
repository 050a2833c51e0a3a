import hashlib
import shutil
import zipfile

import numpy as np
import pytest

from mmdskd.datasets import TinyImageNet

TOOL = 'dataset_converters/tiny_imagenet.py'


@pytest.fixture
def archive(tiny_imagenet_folder, tmp_path, monkeypatch):
    """Archive of a small Tiny-ImageNet, in the place of the official one."""
    root = tiny_imagenet_folder(classes=3, images=4)
    path = tmp_path / 'archive.zip'
    with zipfile.ZipFile(path, 'w') as file:
        for member in sorted(root.rglob('*')):
            file.write(member, member.relative_to(root.parent))
    root.rename(tmp_path / 'expected')
    monkeypatch.setattr(TinyImageNet, 'num_classes', 3)
    monkeypatch.setattr(TinyImageNet, 'num_images', dict(train=12, val=12))
    monkeypatch.setattr(TinyImageNet, 'url', path.as_uri())
    monkeypatch.setattr(
        TinyImageNet, 'zip_md5', hashlib.md5(path.read_bytes()).hexdigest()
    )
    return path


def fails(run_tool, *args):
    with pytest.raises(SystemExit) as error:
        run_tool(TOOL, *args)
    return str(error.value)


def assert_equals(root, expected):
    for split in ('train', 'val'):
        dataset = TinyImageNet(str(root), split)
        other = TinyImageNet(str(expected), split)
        assert len(dataset) == len(other) == 12
        for i in range(12):
            np.testing.assert_array_equal(dataset[i]['img'], other[i]['img'])
            assert dataset[i]['gt_label'] == other[i]['gt_label']


def test_all_steps(run_tool, archive, tmp_path, capsys):
    """Download, check, unpack and pack."""
    data = tmp_path / 'some/data'
    run_tool(TOOL, data)
    root = data / 'tiny-imagenet-200'
    assert sorted(path.name for path in data.iterdir()) == [
        'tiny-imagenet-200',
        'tiny-imagenet-200.zip',
    ]
    assert sorted(path.name for path in root.iterdir()) == [
        'train',
        'train.npy',
        'val',
        'val.npy',
        'wnids.txt',
        'words.txt',
    ]
    out = capsys.readouterr().out
    assert f'train: 12 images of 3 classes in {root}/train.npy' in out
    assert f'val: 12 images of 3 classes in {root}/val.npy' in out
    # The packed files alone are enough.
    shutil.rmtree(root / 'train')
    shutil.rmtree(root / 'val')
    assert_equals(root, tmp_path / 'expected')
    # Nothing is left to do.
    before = (root / 'train.npy').stat()
    run_tool(TOOL, data)
    assert (root / 'train.npy').stat() == before
    assert 'Packing' not in capsys.readouterr().out


def test_own_archive_without_packing(run_tool, archive, tmp_path, capsys):
    data = tmp_path / 'data'
    run_tool(TOOL, data, '--zip', archive, '--no-pack')
    root = data / 'tiny-imagenet-200'
    assert [path.name for path in data.iterdir()] == [root.name]
    assert not (root / 'train.npy').exists()
    assert f'val: 12 images of 3 classes in {root}/val\n' in (
        capsys.readouterr().out
    )
    assert_equals(root, tmp_path / 'expected')


def test_own_folder(run_tool, archive, tmp_path):
    root = tmp_path / 'tiny-imagenet-200'
    shutil.copytree(tmp_path / 'expected', root)
    archive.unlink()
    run_tool(TOOL, tmp_path)
    packed = TinyImageNet(str(root)).packed
    assert packed.path == str(root / 'train.npy')
    assert_equals(root, tmp_path / 'expected')


@pytest.mark.parametrize('own', [True, False])
def test_wrong_checksum(run_tool, archive, tmp_path, own):
    data = tmp_path / 'data'
    archive.write_bytes(archive.read_bytes()[:-1000])
    error = fails(run_tool, data, *(['--zip', archive] if own else []))
    path = archive if own else data / 'tiny-imagenet-200.zip'
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    assert (
        f'{path} should be {TinyImageNet.url} with the MD5 '
        f'{TinyImageNet.zip_md5}, but its MD5 is {md5} '
        f'({archive.stat().st_size:,} bytes)'
    ) in error
    assert not (data / 'tiny-imagenet-200').exists()


def test_missing_archive(run_tool, archive, tmp_path):
    assert "no 'none.zip'" in fails(run_tool, tmp_path, '--zip', 'none.zip')


def test_failed_download(run_tool, archive, tmp_path):
    archive.unlink()
    error = fails(run_tool, tmp_path / 'data')
    assert f'{TinyImageNet.url} can not be downloaded: ' in error
    assert 'name it by --zip' in error
    assert list((tmp_path / 'data').iterdir()) == []


def test_archive_of_a_folder_that_is_there(run_tool, archive, tmp_path):
    (tmp_path / 'tiny-imagenet-200').mkdir()
    error = fails(run_tool, tmp_path, '--zip', archive)
    assert 'Leave out --zip, or delete the folder' in error


def test_interrupted_unpacking_leaves_nothing(
    run_tool, archive, tmp_path, monkeypatch
):

    def stop(self, path):
        self.extract('tiny-imagenet-200/wnids.txt', path)
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, 'extractall', stop)
    data = tmp_path / 'data'
    with pytest.raises(KeyboardInterrupt):
        run_tool(TOOL, data, '--zip', archive)
    assert list(data.iterdir()) == []


def test_half_unpacked_folder(run_tool, archive, tmp_path):
    root = tmp_path / 'tiny-imagenet-200'
    shutil.copytree(tmp_path / 'expected', root)
    shutil.rmtree(root / 'train/n00000001')
    assert 'but n00000001 has 0' in fails(run_tool, tmp_path)
    assert not (root / 'train.npy').exists()


def test_broken_image_is_told_and_nothing_is_packed(
    run_tool, archive, tmp_path
):
    root = tmp_path / 'tiny-imagenet-200'
    shutil.copytree(tmp_path / 'expected', root)
    (root / 'val/images/val_7.JPEG').write_bytes(b'')
    assert 'val_7.JPEG should be a JPEG image' in fails(run_tool, tmp_path)
    assert (root / 'train.npy').exists()
    assert not (root / 'val.npy').exists()
    assert not list(root.glob('.*'))
