"""Report what of the stack is installed, missing or at odds.

Run as ``python -m mmdskd.doctor``. It reads the metadata of the installed
packages and imports none of them, so it works where they are broken.
The standard library is enough to run it.
"""

from .report import diagnose, explain, format_findings, main
from .stack import Finding, Stack

__all__ = [
    'Finding',
    'Stack',
    'diagnose',
    'explain',
    'format_findings',
    'main',
]
