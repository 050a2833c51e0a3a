"""The stacks that are tested, their results and the table of these.

The standard library of Python 3.9 is enough to import it.
"""

import configparser
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START, END = '<!-- stacks -->\n', '<!-- end of stacks -->'
COLUMNS = 'stack Python torch numpy OpenMMLab tests passed failed skipped date'
BLOCK = re.compile(f'{START}.*?{END}', re.DOTALL)


@dataclass
class Stack:
    """A section of requirements/stacks.cfg, which says what each key is."""

    name: str
    python: str = ''
    constraints: str = 'requirements/constraints.txt'
    line: str = 'openmmlab'
    extras: str = 'optional networks deploy'
    first: str = ''
    environment: str = ''
    tests: str = 'quick'

    def __post_init__(self) -> None:
        for key, pattern, rule in (
            ('python', r'3\.\d+', 'a version such as 3.9'),
            ('line', 'openmmlab|onedl', 'openmmlab or onedl'),
            ('tests', 'quick|all', 'quick or all'),
        ):
            if not re.fullmatch(pattern, getattr(self, key)):
                raise ValueError(
                    f'{key} of [{self.name}] should be {rule}, but got '
                    f'{getattr(self, key)!r}'
                )

    @property
    def make_variables(self) -> list[str]:
        return [
            f'CONSTRAINTS={self.constraints}',
            f'LINE={self.line}',
            f'EXTRAS={self.extras}',
        ]


def read_stacks(root: Path) -> dict[str, Stack]:
    path = root / 'requirements' / 'stacks.cfg'
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(), str(path))
    keys = [key for key in Stack.__dataclass_fields__ if key != 'name']
    stacks = {}
    for name in parser.sections():
        unknown = sorted(set(parser[name]) - set(keys))
        if unknown:
            raise ValueError(
                f'keys of [{name}] in {path} should be among {keys}, but got '
                f'{unknown}'
            )
        stacks[name] = Stack(name, **parser[name])
    return stacks


def read_results(root: Path) -> dict[str, dict[str, Any]]:
    path = root / 'docs' / 'stacks.json'
    return json.loads(path.read_text()) if path.is_file() else {}


def keep_result(root: Path, name: str, result: dict[str, Any]) -> None:
    """Write the result of a stack into docs/stacks.json."""
    results = {**read_results(root), name: result}
    results = {x: results[x] for x in read_stacks(root) if x in results}
    path = root / 'docs' / 'stacks.json'
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(results, indent=1) + '\n')
    os.replace(temporary, path)


def format_table(stacks: dict[str, Stack], results: dict[str, Any]) -> str:
    rows = [COLUMNS.split(), ['-'] * len(COLUMNS.split())]
    for name, stack in stacks.items():
        result = results.get(name, dict(outcome='not run', tests=stack.tests))
        versions = result.get('versions', {})
        outcome = result['outcome']
        if 'reason' in result and not versions:
            outcome += f': {result["reason"]}'
        line = [
            f'{package} {version}'
            for package, version in versions.items()
            if re.search('mmengine|mmcv|mmpretrain', package)
        ]
        counts = [result.get(key) for key in ('passed', 'failed', 'skipped')]
        rows.append(
            [
                name,
                versions.get('python', stack.python),
                versions.get('torch', ''),
                versions.get('numpy', ''),
                ', '.join(line) or outcome,
                result['tests'],
                *('' if x is None else f'{x:,}' for x in counts),
                result.get('date', ''),
            ]
        )
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def fill_tables(root: Path, stacks: dict[str, Stack], check: bool) -> None:
    """Write the table into the pages that have its markers.

    Raises:
        ValueError: If ``check`` and a page has another table, or if no page
            has the markers.
    """
    block = f'{START}\n{format_table(stacks, read_results(root))}\n\n{END}'
    pages = [root / 'README.md', *sorted((root / 'docs').glob('*.md'))]
    pages = [x for x in pages if x.is_file() and BLOCK.search(x.read_text())]
    if not pages:
        raise ValueError(f'a page should have {START.strip()} and {END}')
    for page in pages:
        old = page.read_text()
        new = BLOCK.sub(lambda _: block, old)
        if check and new != old:
            raise ValueError(
                f'{page} should hold the table of docs/stacks.json, but '
                'differs. Run python -m tools.stacks --table.'
            )
        if new != old:
            page.write_text(new)
