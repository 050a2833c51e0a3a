import os
from pathlib import Path

import pytest

from mmdskd.engine.own_files import (
    adopt_files,
    get_out_dir,
    remove_outdated_files,
    remove_temporary_files,
)


def test_out_dir():
    assert get_out_dir(None, '/runs/a') == '/runs/a'
    assert get_out_dir('/runs/a', '/runs/a') == '/runs/a'
    assert get_out_dir('/disk', '/runs/a/') == '/disk/a'
    assert get_out_dir('s3://disk', '/runs/a') == 's3://disk/a'


def test_temporary_files_of_the_dead_are_removed(tmp_path):
    dead = os.spawnlp(os.P_NOWAIT, 'true', 'true')
    os.waitpid(dead, 0)
    names = [
        f'.epoch_1.pth.{dead}.tmp',
        f'.last_checkpoint.{os.getpid()}.tmp',
        '.other.1.tmp.pth',
        'epoch_1.pth',
    ]
    living = f'.epoch_2.pth.{os.getppid()}.tmp'
    abandoned = f'.epoch_3.pth.{os.getppid()}.tmp'
    for name in (*names, living, abandoned):
        (tmp_path / name).touch()
    os.utime(tmp_path / abandoned, (0, 0))
    removed = remove_temporary_files(str(tmp_path))
    assert sorted(removed) == sorted([*names[:2], abandoned])
    assert {path.name for path in tmp_path.iterdir()} == {living, *names[2:]}
    assert remove_temporary_files(str(tmp_path / 'missing')) == []


@pytest.fixture
def folders(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    return str(tmp_path / 'a'), str(tmp_path / 'b')


def write(folder, name, content='x'):
    path = os.path.join(folder, name)
    with open(path, 'w') as file:
        file.write(content)
    return path


def info_of(folder):
    """What a checkpoint of a run in this folder says."""
    return dict(
        last_ckpt=f'{folder}/epoch_2.pth',
        keep_ckpt_ids=[1, 2],
        best_ckpt=f'{folder}/best_epoch_1.pth',
        best_score=50.0,
        student_deletable_ckpts=[f'{folder}/epoch_1.pth'],
        outdated_ckpts=[f'{folder}/best_epoch_0.pth'],
        iter=20,
    )


def test_own_files_stay(folders):
    a, _ = folders
    write(a, 'best_epoch_1.pth')
    info = info_of(a)
    assert adopt_files(info, a, f'{a}/epoch_2.pth', True) == []
    assert info == info_of(a)


def test_moved_files_are_adopted(folders):
    """The former folder may be there again, with another run."""
    a, b = folders
    write(b, 'best_epoch_1.pth')
    write(a, 'best_epoch_1.pth', 'of another run')
    info = info_of(a)
    assert adopt_files(info, b, f'{b}/epoch_2.pth', True) == []
    assert info == info_of(b)


def test_files_of_another_run_are_left_alone(folders):
    """Its best one is copied with its student."""
    a, b = folders
    best = write(a, 'best_epoch_1.pth', 'best')
    write(a, 'best_epoch_1_student.pth', 'student')
    info = info_of(a)
    notes = adopt_files(info, b, f'{a}/epoch_2.pth', True)
    assert notes == [f'{best}, the best so far, is copied to {b}.']
    own = f'{b}/best_epoch_1.pth'
    assert info == dict(best_ckpt=own, best_score=50.0, iter=20)
    assert Path(own).read_text() == 'best'
    assert Path(f'{b}/best_epoch_1_student.pth').read_text() == 'student'
    assert sorted(os.listdir(a)) == sorted(os.listdir(b))


def test_best_that_is_gone(folders):
    a, b = folders
    info = info_of(a)
    (note,) = adopt_files(info, b, f'{a}/epoch_2.pth', True)
    assert note == (
        'The best checkpoint so far, best_epoch_1.pth, is missing; the best '
        'one from here on is kept.'
    )
    assert info == dict(iter=20)


def test_outdated_files_are_removed_in_the_own_folder_only(folders):
    a, b = folders
    elsewhere = write(a, 'best_epoch_0.pth')
    outdated = write(b, 'best_epoch_0.pth')
    current = write(b, 'best_epoch_1.pth')
    newer = write(b, 'interrupted.pth')
    os.utime(newer, (3e9, 3e9))
    info = dict(
        best_ckpt=current,
        outdated_ckpts=[elsewhere, current, f'{a}/interrupted.pth'],
    )
    remove_outdated_files(info, b, saved_at=2.9e9)
    assert info == dict(best_ckpt=current)
    assert os.path.exists(elsewhere)
    assert not os.path.exists(outdated)
    assert sorted(os.listdir(b)) == ['best_epoch_1.pth', 'interrupted.pth']
