"""Run MMRazor's own tests on this stack, and count what passes.

    git clone --branch v1.0.0 https://github.com/open-mmlab/mmrazor
    python tests/mmrazor_suite.py mmrazor
    python tests/mmrazor_suite.py mmrazor --without-mmdskd

The tests run on the installed MMRazor, with mmdskd imported first. They
import ``mmcls``, which is MMPretrain today: while they run, it has that name.
One line is printed for each area, and one for each reason of a failure.
"""

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Optional
from xml.etree import ElementTree

WITHOUT = 'MMRAZOR_SUITE_WITHOUT_MMDSKD'
FOLDERS = ('tests', 'configs', 'tools')
# Names that MMPretrain has changed, by module
RENAMED = {
    'structures': ('ClsDataSample', 'DataSample'),
    'datasets.transforms.formatting': ('PackClsInputs', 'PackInputs'),
    'visualization': ('ClsVisualizer', 'UniversalVisualizer'),
}
# The first whose pattern is found in the path of a test is its area.
AREAS = {
    'quantization': 'quant|observer|qconfig|backendconfig|custom_tracer|'
    'graph_utils|mm_architecture|test_exporter',
    'distillation': 'distill|losses|connector|recorder|deliver|generator|'
    'test_datasets|ofd|visualiz|wideresnet',
    'pruning': 'prun|dmcp|dcff|group_fisher|channel|slim',
    'NAS': 'autoformer|bignas|darts|dsnas|spos|backbones|mutable|mutator|'
    'dynamic|subnet|search|predictor|candidate|sampler|classifier|genetic|'
    'diff|onehot|gumbel|estimator|counter',
    'tracing, registry, tools': '',
}
# The first whose pattern is found in the message of a failure is its reason.
REASONS = {
    'quantization needs torch < 2': 'quantization of MMRazor|'
    r'structures\.quantization',
    'MMRazor cannot be imported': 'cannot be imported|'
    "No module named 'torch|cannot import name|No module named 'pkg_res",
    'a package is missing: mmdet': 'mmdet|MMDetection',
    'a package is missing: {0}': "No module named '([A-Za-z0-9_]+)'",
    'expects what mmcls returned': r'LabelData|PackCRDClsInputs\(input_key',
    'its toy model returns no list, as MMEngine 0.10 wants': '^KeyError: -1',
    'expects another type of error of torch': 'Default process group has not',
    'expects another type of error than mmdskd raises': 'name only the losses',
    'mmdskd refuses a checkpoint that loads nothing': 'has none of its tensor',
    'placeholders of mmcls': '`mmcls` is not installed|mmcls',
}
OUTCOMES = ('passed', 'failed', 'not loaded', 'skipped')


class Result(NamedTuple):
    """What became of a test, or of a file of tests.

    Attributes:
        name (str): Its path.
        outcome (str): One of ``OUTCOMES``.
        message (str): What ended it, or ''.
    """

    name: str
    outcome: str
    message: str


# ---------------------------------------------------------------------------
# In the process that runs the tests, of which this file is a plugin
# ---------------------------------------------------------------------------
class _Alias(Loader):
    """Load a module of MMPretrain as one of mmcls.

    Args:
        module (ModuleType): The module.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        assert self.spec is not None
        module.__spec__, module.__loader__ = self.spec, self.spec.loader
        module.__package__ = self.spec.parent
        part = module.__name__.partition('.')[2]
        if part in RENAMED:
            old, new = RENAMED[part]
            setattr(module, old, getattr(module, new))


class _AliasFinder(MetaPathFinder):
    """Find modules of mmcls in MMPretrain."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        package, dot, part = fullname.partition('.')
        if package != 'mmcls':
            return None
        try:
            module = importlib.import_module(f'mmpretrain{dot}{part}')
        except ModuleNotFoundError:
            return None
        return ModuleSpec(
            fullname, _Alias(module), is_package=hasattr(module, '__path__')
        )


def pytest_configure() -> None:
    """Import mmdskd, unless told not to, and name MMPretrain mmcls."""
    if not os.environ.get(WITHOUT):
        importlib.import_module('mmdskd')
    sys.meta_path.insert(0, _AliasFinder())


# ---------------------------------------------------------------------------
# In the process that starts it
# ---------------------------------------------------------------------------
def run_tests(clone: Path, without: bool, arguments: Sequence[str]) -> str:
    """Run the tests of a clone in a folder without its package.

    Args:
        clone (Path): Folder of the clone.
        without (bool): Whether to leave mmdskd out.
        arguments (Sequence[str]): More arguments of pytest.

    Returns:
        str: Its report, JUnit XML.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in FOLDERS:
            if (clone / part).is_dir():
                shutil.copytree(clone / part, folder / part)
        paths = [folder, Path(__file__).resolve().parent]
        environment = dict(
            os.environ,
            OMP_NUM_THREADS='1',
            PYTHONPATH=os.pathsep.join(
                [*map(str, paths), os.environ.get('PYTHONPATH', '')]
            ),
            **{WITHOUT: '1' if without else ''},
        )
        command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:xdist']
        command += ['-p', Path(__file__).stem, '-p', 'no:cacheprovider']
        command += ['--continue-on-collection-errors', '--rootdir', name]
        command += ['--junitxml', 'report.xml', '--tb=short', 'tests']
        process = subprocess.run(
            [*command, *arguments], cwd=folder, env=environment
        )
        report = folder / 'report.xml'
        if not report.is_file():
            raise SystemExit(f'pytest ended with {process.returncode}')
        return report.read_text()


def read_report(report: str) -> list[Result]:
    """Read what became of each test.

    Args:
        report (str): JUnit XML.

    Returns:
        list[Result]: One for each test, and for each file that did not load.
    """
    results = []
    for case in ElementTree.fromstring(report).iter('testcase'):
        name = '.'.join(
            filter(None, (case.get('classname'), case.get('name')))
        )
        outcome, text = 'passed', ''
        for kind, word in (
            ('skipped', 'skipped'),
            ('failure', 'failed'),
            ('error', 'failed'),
        ):
            node = case.find(kind)
            if node is not None:
                outcome = word
                text = f'{node.get("message")}\n{node.text}'
                if 'collection failure' in text:
                    outcome = 'not loaded'
        # What ends a test is its last line with an E.
        lines = re.findall(r'^E +(.*)', text, re.M)
        results.append(Result(name, outcome, '\n'.join(lines) or text))
    return results


def find_area(name: str) -> str:
    """Find the area of a test by its path."""
    return next(
        area for area, words in AREAS.items() if re.search(words, name)
    )


def find_reason(result: Result) -> str:
    """Find why a test did not pass.

    Args:
        result (Result): Of a test that did not.

    Returns:
        str: One of ``REASONS``, or its own message.
    """
    for reason, words in REASONS.items():
        match = re.search(words, result.message)
        if match is not None:
            return reason.format(*match.groups())
    return result.message.partition('\n')[0][:100]


def summarise(results: Sequence[Result]) -> str:
    """Make tables of what passed by area, and of the reasons of the rest.

    Args:
        results (Sequence[Result]): Of all tests.

    Returns:
        str: Markdown.
    """
    counts = Counter((find_area(r.name), r.outcome) for r in results)
    totals = Counter(r.outcome for r in results)
    rows = [(area, [counts[area, o] for o in OUTCOMES]) for area in AREAS]
    rows.append(('all', [totals[o] for o in OUTCOMES]))
    lines = [f'| area | {" | ".join(OUTCOMES)} |', '|-' * 5 + '|']
    for area, numbers in rows:
        lines.append(f'| {area} | {" | ".join(map(str, numbers))} |')
    rest = [r for r in results if r.outcome in ('failed', 'not loaded')]
    reasons = Counter((find_reason(r), r.outcome) for r in rest)
    lines += ['', '| reason | outcome | number |', '|-|-|-|']
    for (reason, outcome), number in reasons.most_common():
        lines.append(f'| {reason} | {outcome} | {number} |')
    return '\n'.join(lines)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the tests and print the tables.

    Args:
        arguments (Sequence[str], optional): Arguments of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('clone', type=Path, help='folder of the clone')
    parser.add_argument(
        '--without-mmdskd',
        action='store_true',
        help='run them on the stack as it is',
    )
    args, rest = parser.parse_known_args(arguments)
    if not (args.clone / 'tests').is_dir():
        parser.error(
            f'clone should be a folder of MMRazor with its tests, but '
            f'{args.clone} has none'
        )
    results = read_report(run_tests(args.clone, args.without_mmdskd, rest))
    print(summarise(results))
    for result in results:
        if result.outcome in ('failed', 'not loaded'):
            print(f'{result.outcome}: {result.name}: {find_reason(result)}')


if __name__ == '__main__':
    main()
