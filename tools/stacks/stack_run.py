"""Build the environment of a stack, and run the tests in it.

The standard library of Python 3.9 is enough to import it.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Optional

from .stack_list import Stack, read_results

# What the outcome of tests depends on
SOURCES = ('mmdskd', 'tools', 'tests', 'configs', 'requirements')
SOURCE_FILES = ('Makefile', 'pyproject.toml', 'setup.py')
PACKAGES = (
    *('torch', 'torchvision', 'numpy', 'mmengine', 'onedl-mmengine'),
    *('mmcv', 'mmcv-lite', 'onedl-mmcv', 'mmpretrain', 'onedl-mmpretrain'),
    *('mmrazor', 'timm', 'transformers', 'onnx', 'onnxruntime'),
)
MIN_FREE_GB = 8
PROBE = 'import ensurepip, sys; print("%d.%d" % sys.version_info[:2])'
VERSIONS = f"""
import json, platform
from importlib import metadata
versions = dict(python=platform.python_version())
for name in {PACKAGES!r}:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(versions))
"""


class StepFailed(Exception):
    """A command has failed; the message is the last line that it printed."""


def find_python(version: str) -> Optional[str]:
    """Find an interpreter on the PATH or among those of pyenv."""
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'))
    folders = (pyenv / 'versions').glob(f'{version}.*/bin/python')
    for command in (f'python{version}', *map(str, folders), 'python3'):
        found = shutil.which(command)
        if found:
            probe = subprocess.run(
                [found, '-c', PROBE], capture_output=True, text=True
            )
            if probe.stdout.strip() == version:
                return found
    return None


def hash_files(root: Path, stack: Stack, folders: tuple[str, ...]) -> str:
    """Hash what an environment or a result was made of."""
    digest = hashlib.sha256(repr(asdict(stack)).encode())
    files = [root / name for name in SOURCE_FILES]
    for folder in folders:
        files += sorted((root / folder).rglob('*'))
    for path in files:
        inner = {'__pycache__', '.mim', 'stacks.cfg'} & {*path.parts}
        if path.is_file() and not inner:
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(
    command: list[str], root: Path, log: Path, environment: str = ''
) -> Iterator[str]:
    """Run a command, show and log what it prints, and yield its lines.

    Raises:
        StepFailed: If it fails.
    """
    variables = dict(pair.split('=', 1) for pair in environment.split())
    last: deque[str] = deque(['no output'], maxlen=1)
    with (
        log.open('a') as file,
        subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
    ):
        file.write(f'$ {shlex.join(command)}\n')
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end='', flush=True)
            file.write(line)
            if line.strip() and not re.match(r'make(\[\d+\])?: ', line):
                last.append(line.strip())
            yield line
    if process.returncode:
        raise StepFailed(last[0])


def build(stack: Stack, python: str, env: Path, root: Path, log: Path) -> None:
    """Build an environment, unless it holds the same already."""
    stamp = env / 'stack'
    wanted = hash_files(root, stack, ('requirements',))
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(env, ignore_errors=True)
        free = shutil.disk_usage(env.parent).free / 1e9
        if free < MIN_FREE_GB:
            raise StepFailed(
                f'{env.parent} should have {MIN_FREE_GB} GB of free disk, '
                f'but has {free:.1f}'
            )
        commands = [[python, '-m', 'venv', str(env)]]
        for line in filter(None, stack.first.splitlines()):
            pip = [str(env / 'bin' / 'python'), '-m', 'pip', 'install', '-q']
            commands.append(pip + shlex.split(line))
        for command in commands:
            deque(run(command, root, log, stack.environment), maxlen=0)
    install = ['make', 'install', f'VENV={env}', *stack.make_variables]
    deque(run(install, root, log), maxlen=0)
    stamp.write_text(wanted)


def find_summary(lines: list[str]) -> str:
    """Find the last line of pytest, empty if it has none."""
    found = [x for x in lines if re.search(r'\d+ \w+.* in [\d.]+s', x)]
    return found[-1].strip() if found else ''


def count_tests(lines: list[str]) -> dict[str, Any]:
    """Read the end of what pytest prints."""
    pairs = re.findall(r'(\d+) ([a-z]+)', find_summary(lines))
    counts = {word.rstrip('s'): int(number) for number, word in pairs}
    return dict(
        passed=counts.get('passed', 0),
        failed=counts.get('failed', 0) + counts.get('error', 0),
        skipped=counts.get('skipped', 0) + counts.get('xfailed', 0),
        failures=[
            line.split(' - ')[0].split(' ', 1)[1].strip()
            for line in lines
            if line.startswith(('FAILED ', 'ERROR '))
        ],
    )


def test_stack(stack: Stack, args: argparse.Namespace) -> dict[str, Any]:
    """Build a stack, run its tests, and remove it.

    Returns:
        dict: What docs/stacks.json keeps.
    """
    result: dict[str, Any] = dict(
        date=date.today().isoformat(),
        machine=f'{platform.system()} {platform.machine()}, '
        f'{os.cpu_count()} cores',
        files=hash_files(args.root, stack, SOURCES),
        tests=stack.tests,
    )
    python = find_python(stack.python)
    if python is None:
        reason = f'found no Python {stack.python} on the PATH or in pyenv'
        return dict(result, outcome='not available', reason=reason)
    args.envs.mkdir(parents=True, exist_ok=True)
    env, log = args.envs / stack.name, args.envs / f'{stack.name}.log'
    log.write_text('')
    if not args.keep:
        shutil.rmtree(env, ignore_errors=True)
    lines = []
    start = time.monotonic()
    try:
        build(stack, python, env, args.root, log)
        result['build_seconds'] = round(time.monotonic() - start)
        result['versions'] = json.loads(
            subprocess.check_output([env / 'bin' / 'python', '-c', VERSIONS])
        )
        start = time.monotonic()
        target = {'quick': 'test', 'all': 'test-all'}[stack.tests]
        command = ['make', target, f'VENV={env}', *stack.make_variables]
        workers = [f'WORKERS={args.workers}'] if args.workers else []
        for line in run(command + workers, args.root, log):
            lines.append(line)
        result['outcome'] = 'passed'
    except StepFailed as error:
        built = 'versions' in result
        result['outcome'] = 'failed' if built else 'not built'
        result['reason'] = str(error)
    finally:
        if not args.keep:
            shutil.rmtree(env, ignore_errors=True)
    if 'versions' in result:
        seconds = round(time.monotonic() - start)
        result.update(count_tests(lines), test_seconds=seconds)
        if result['outcome'] == 'failed' and find_summary(lines):
            # What ends afterwards may print more.
            result['reason'] = find_summary(lines)
        if result['outcome'] == 'passed' and not result['passed']:
            result.update(outcome='failed', reason='no test has run')
    return result


def has_passed(stack: Stack, root: Path) -> bool:
    result = read_results(root).get(stack.name, {})
    files = hash_files(root, stack, SOURCES)
    return result.get('outcome') == 'passed' and result['files'] == files
