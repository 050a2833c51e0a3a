"""The code of docs/library.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/library.md'


def blocks(section):
    """The Python code of a section of the page."""
    text = PAGE.read_text().split(f'\n## {section}\n')[1].split('\n## ')[0]
    return re.findall(r'```python\n(.*?)```', text, re.DOTALL)
