import re

import pytest

from mmdskd.export.finished_run import RunFiles, find_run_files


@pytest.fixture
def folder(tmp_path):
    """Make a folder with empty files."""

    def make(*names):
        for name in names:
            (tmp_path / name).touch()
        return str(tmp_path)

    return make


STUDENTS = ('epoch_9_student.pth', 'best_a_epoch_3_student.pth')
RUN = ('my_run.py', 'student_config.py', 'multi_exit_config.py')


@pytest.mark.parametrize(
    'names, exits, config, checkpoint',
    [
        # The best one, and the plain student that the run has written
        (
            (*RUN, 'epoch_9.pth', 'best_a_epoch_3.pth', *STUDENTS),
            False,
            'student_config.py',
            'best_a_epoch_3_student.pth',
        ),
        # The heads are in the checkpoint of the run alone.
        (
            (*RUN, 'best_a_epoch_3.pth', 'best_a_epoch_3_student.pth'),
            True,
            'my_run.py',
            'best_a_epoch_3.pth',
        ),
        # By number, not by name
        (
            ('my_run.py', 'epoch_9.pth', 'epoch_10.pth'),
            False,
            'my_run.py',
            'epoch_10.pth',
        ),
        (
            ('my_run.py', 'iter_500.pth', 'fix_subnet_weight.pth'),
            False,
            'my_run.py',
            'iter_500.pth',
        ),
        # Only the students were kept.
        (
            ('student_config.py', 'epoch_2_student.pth'),
            False,
            'student_config.py',
            'epoch_2_student.pth',
        ),
    ],
)
def test_what_serves(folder, names, exits, config, checkpoint):
    run = folder(*names)
    assert find_run_files(run, exits=exits) == RunFiles(
        f'{run}/{config}', f'{run}/{checkpoint}'
    )


def test_a_checkpoint_of_the_folder(folder):
    run = folder(*RUN, 'epoch_1.pth', 'epoch_1_multi_exit.pth')
    assert find_run_files(run, 'epoch_1.pth') == RunFiles(
        f'{run}/my_run.py', f'{run}/epoch_1.pth'
    )
    path = f'{run}/epoch_1_multi_exit.pth'
    assert find_run_files(run, path) == RunFiles(
        f'{run}/multi_exit_config.py', path
    )


def test_config_and_checkpoint_are_left_as_they_are():
    assert find_run_files('a::b.py', 'c.pth') == RunFiles('a::b.py', 'c.pth')


@pytest.mark.parametrize(
    'names, error, message',
    [
        (('my_run.py',), FileNotFoundError, 'best_.*holds no checkpoint'),
        (
            ('my_run.py', 'x.pth'),
            FileNotFoundError,
            'should be the work_dir of a run.* but holds x.pth',
        ),
        (
            ('my_run.py', 'best_a.pth', 'best_b.pth'),
            ValueError,
            'holds best_a.pth, best_b.pth: name one as CHECKPOINT',
        ),
        (
            ('epoch_1.pth',),
            FileNotFoundError,
            'config of its run.* holds none: give CONFIG CHECKPOINT',
        ),
        (
            ('epoch_1.pth', 'a.py', 'b.py'),
            ValueError,
            'holds a.py, b.py: give CONFIG CHECKPOINT',
        ),
    ],
)
def test_folders_that_tell_too_little(folder, names, error, message):
    with pytest.raises(error, match=message):
        find_run_files(folder(*names))


def test_no_folder(tmp_path):
    path = str(tmp_path / 'no')
    with pytest.raises(
        FileNotFoundError, match=f'there is no .{re.escape(path)}'
    ):
        find_run_files(path)
    config = tmp_path / 'config.py'
    config.touch()
    with pytest.raises(ValueError, match='followed by CHECKPOINT, but got'):
        find_run_files(str(config))
