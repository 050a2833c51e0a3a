"""`python -m tools.stacks`, with fakes of make and of an interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = f'{sys.version_info[0]}.{sys.version_info[1]}'
STACKS = """
[a]
python = {version}

[b]
python = {version}
constraints = old.txt
extras =
line = onedl
tests = all
"""
# Also `make` of the fakes: one line for each call.
MAKE = """#!/bin/sh
echo "make $@" >> {calls}
case "$@" in
  *"$FAIL_INSTALL"*) test "$1" != install || {{ echo no wheel; exit 2; }};;
esac
test "$1" != install || exit 0
echo '....F'
echo 'FAILED tests/test_x.py::test_y[1] - assert 1 == 2'
echo "$SUMMARY"
echo 'make[1]: *** [test] Error 1'
echo "make[1]: Leaving directory 'x'"
exit "$RC"
"""
# Of an environment it makes itself, and what pip does.
PYTHON = """#!/bin/sh
case "$1 $2" in
  '-m venv') mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
  '-m pip') echo "$FLAG pip $@" >> {calls};;
  *) exec {python} "$@";;
esac
"""


class Project:
    """A folder with stacks, and fakes of what tests them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = root / 'calls.txt'
        for name in ('requirements', 'docs', 'bin', 'tests'):
            (root / name).mkdir()
        self.set_stacks(STACKS)
        (root / 'docs/page.md').write_text(
            'Before\n<!-- stacks -->\n<!-- end of stacks -->\nAfter\n'
        )
        self.add_command('make', MAKE)
        self.add_command(f'python{VERSION}', PYTHON)

    def set_stacks(self, text: str) -> None:
        (self.root / 'requirements/stacks.cfg').write_text(
            text.replace('{version}', VERSION)
        )

    def add_command(self, name: str, text: str) -> None:
        path = self.root / 'bin' / name
        path.write_text(text.format(calls=self.calls, python=sys.executable))
        path.chmod(0o755)

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        self.calls.write_text('')
        defaults = dict(
            FAIL_INSTALL='nothing fails',
            RC='0',
            SUMMARY='2,000 lines\n1843 passed, 12 skipped in 3.21s (0:00:03)',
            PYENV_ROOT=str(self.root),
            PATH=f'{self.root}/bin:{os.environ["PATH"]}',
        )
        return subprocess.run(
            [
                *(sys.executable, '-m', 'tools.stacks'),
                *('--root', self.root, '--envs', self.root / 'envs', *args),
            ],
            cwd=ROOT,
            env={**os.environ, **defaults, **env},
            capture_output=True,
            text=True,
        )

    @property
    def results(self) -> dict:
        return json.loads((self.root / 'docs/stacks.json').read_text())

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def test_two_stacks(project):
    done = project.run('--workers', '3')
    assert done.returncode == 0, done.stderr
    env = project.root / 'envs'
    a = 'CONSTRAINTS=requirements/constraints.txt LINE=openmmlab '
    a = f'VENV={env}/a {a}EXTRAS=optional networks deploy'
    b = f'VENV={env}/b CONSTRAINTS=old.txt LINE=onedl EXTRAS='
    assert project.called == [
        f'make install {a}',
        f'make test {a} WORKERS=3',
        f'make install {b}',
        f'make test-all {b} WORKERS=3',
    ]
    assert [*project.results] == ['a', 'b']
    result = project.results['b']
    assert result['versions']['python'].startswith(f'{VERSION}.')
    assert result['versions']['mmrazor'] == '1.0.0'
    assert (result['outcome'], result['tests']) == ('passed', 'all')
    assert (result['passed'], result['failed']) == (1843, 0)
    assert result['skipped'] == 12
    assert 'a: passed, 1843 passed, 0 failed, 12 skipped\n' in done.stdout
    # Removed, but not their logs.
    assert sorted(x.name for x in env.iterdir()) == ['a.log', 'b.log']
    assert '$ make test-all' in (env / 'b.log').read_text()


def test_table(project):
    project.run('a')
    page = (project.root / 'docs/page.md').read_text()
    assert page.startswith('Before\n<!-- stacks -->\n\n| stack | Python |')
    assert page.endswith('\n\n<!-- end of stacks -->\nAfter\n')
    result = project.results['a']
    rows = [line.split(' | ') for line in page.splitlines() if ' | ' in line]
    assert {len(row) for row in rows} == {10}
    assert rows[2][:3] == [
        '| a',
        result['versions']['python'],
        result['versions']['torch'],
    ]
    assert rows[2][5:] == ['quick', '1,843', '0', '12', f'{result["date"]} |']
    assert rows[3][0] == '| b' and rows[3][4:6] == ['not run', 'all']


def test_failed_tests_do_not_stop_the_others(project):
    done = project.run(RC='2', SUMMARY='1 failed, 4 passed, 2 errors in 1.0s')
    assert done.returncode == 1
    assert done.stdout.endswith('Not passed: a, b\n')
    result = project.results['a']
    assert result['outcome'] == 'failed'
    assert result['reason'].startswith('1 failed, 4 passed')
    assert (result['passed'], result['failed'], result['skipped']) == (4, 3, 0)
    assert result['failures'] == ['tests/test_x.py::test_y[1]']


def test_no_test_has_run(project):
    done = project.run('a', SUMMARY='no tests ran in 0.01s')
    assert done.returncode == 1
    assert project.results['a']['reason'] == 'no test has run'


def test_not_built(project):
    done = project.run(FAIL_INSTALL='LINE=onedl')
    assert done.returncode == 1
    assert project.results['a']['outcome'] == 'passed'
    result = project.results['b']
    assert (result['outcome'], result['reason']) == ('not built', 'no wheel')
    page = (project.root / 'docs/page.md').read_text()
    assert '| not built: no wheel | all |' in page


@pytest.mark.parametrize('names, status', [((), 0), (('c',), 1)])
def test_no_interpreter(project, names, status):
    """A failure where it was asked for."""
    project.set_stacks('[c]\npython = 3.999\n')
    assert project.run(*names).returncode == status
    assert project.results['c']['outcome'] == 'not available'
    assert project.results['c']['reason'] == (
        'found no Python 3.999 on the PATH or in pyenv'
    )


def test_interpreter_of_pyenv(project):
    command = project.root / 'bin' / f'python{VERSION}'
    folder = project.root / 'versions' / f'{VERSION}.99' / 'bin'
    folder.mkdir(parents=True)
    command.rename(folder / 'python')
    # As a shim of pyenv without this version does
    project.add_command(f'python{VERSION}', '#!/bin/sh\nexit 127\n')
    assert project.run('a').returncode == 0
    assert (
        f'$ {folder}/python -m venv'
        in (project.root / 'envs/a.log').read_text()
    )


def test_what_has_passed_is_not_run_again(project):
    project.run('a')
    done = project.run()
    assert 'a: has passed with the same files\n' in done.stdout
    assert [x.split()[1] for x in project.called] == ['install', 'test-all']
    assert len(project.run('a', '--again').stdout.splitlines()) > 2
    (project.root / 'tests/test_new.py').write_text('')
    project.run('a')
    assert len(project.called) == 2


def test_keep(project):
    env = project.root / 'envs/a'
    project.run('a', '--keep')
    (env / 'mine').write_text('')
    project.run('a', '--keep', '--again')
    assert (env / 'mine').is_file()
    (project.root / 'requirements/new.txt').write_text('new')
    project.run('a', '--keep')
    assert env.is_dir() and not (env / 'mine').exists()
    project.run('a', '--again')
    assert not env.exists()


def test_first_and_environment(project):
    project.set_stacks(
        '[a]\npython = {version}\nfirst =\n  -c x.txt torch "b<2"\n  mmcv\n'
        'environment = FLAG=on OTHER=1\n'
    )
    assert project.run().returncode == 0
    assert project.called[:2] == [
        'on pip -m pip install -q -c x.txt torch b<2',
        'on pip -m pip install -q mmcv',
    ]


def test_check(project):
    project.run()
    assert project.run('--check').returncode == 0
    page = project.root / 'docs/page.md'
    text = page.read_text()
    page.write_text(text.replace('1,843', '1,844'))
    done = project.run('--check')
    assert done.returncode == 1
    assert done.stderr == (
        f'ValueError: {page} should hold the table of docs/stacks.json, but '
        'differs. Run python -m tools.stacks --table.\n'
    )
    project.run('--table')
    assert page.read_text() == text
    assert not project.called


def test_list(project):
    assert json.loads(project.run('--list').stdout) == [
        dict(stack='a', python=VERSION),
        dict(stack='b', python=VERSION),
    ]


@pytest.mark.parametrize(
    'text, message',
    [
        ('python = 3', 'python of [a] should be a version such as 3.9, but'),
        ('tests = all', 'python of [a] should be a version such as 3.9, but'),
        ('line = mmcls', 'line of [a] should be openmmlab or onedl, but got'),
        (
            'tests = slow',
            "tests of [a] should be quick or all, but got 'slow'",
        ),
        (
            'pytohn = 3.9',
            "should be among ['python', 'constraints', 'line', 'extras', "
            "'first', 'environment', 'tests'], but got ['pytohn']",
        ),
    ],
)
def test_wrong_stacks(project, text, message):
    python = '' if message.startswith('python') else 'python = 3.9\n'
    project.set_stacks(f'[a]\n{python}{text}\n')
    done = project.run()
    assert done.returncode == 1
    assert done.stderr.startswith('ValueError: ')
    assert message in done.stderr


def test_unknown_stack(project):
    assert project.run('c').stderr == (
        "ValueError: stacks should be among ['a', 'b'], but got ['c']\n"
    )


def test_committed_table_is_that_of_the_results():
    subprocess.run(
        [sys.executable, '-m', 'tools.stacks', '--check'], cwd=ROOT, check=True
    )
