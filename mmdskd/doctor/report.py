"""What the doctor prints."""

from collections.abc import Iterable, Iterator
from traceback import walk_tb
from typing import Optional

from .checks import CHECKS
from .stack import MODULES, OPENCV, Finding, Stack

# Where mmpretrain imports transformers
MULTIMODAL = (
    'mmpretrain.models.multimodal',
    'mmpretrain.models.utils.huggingface',
    'mmpretrain.models.utils.tokenizer',
)
# Listed in any case, then if they are there: what is needed for some tasks
PACKAGES = ('mmrazor', 'joblib', 'scikit-learn', 'matplotlib')
OPTIONAL = (
    'timm',
    'transformers',
    'onnx',
    'onnxruntime',
    'onnxscript',
    'tensorboard',
    'wandb',
    'mlflow',
    'openmim',
    'onedl-mim',
    'mmcls',
)


def diagnose(stack: Optional[Stack] = None) -> list[Finding]:
    """Run all checks.

    Args:
        stack (Stack, optional): What is installed. Defaults to that of this
            Python.

    Returns:
        list[Finding]: What is wrong, errors first.
    """
    stack = stack or Stack.read()
    findings = [finding for check in CHECKS for finding in check(stack)]
    findings.sort(key=lambda finding: finding.level)
    return [*use_installer(findings, stack)]


def use_installer(
    findings: Iterable[Finding], stack: Stack
) -> Iterator[Finding]:
    """Write commands for uv where it made the environment.

    There is no pip in it: ``pip`` would be that of another Python.
    """
    for finding in findings:
        if stack.has_uv:
            command = finding.command.replace('pip install', 'uv pip install')
            command = command.replace('pip uninstall -y', 'uv pip uninstall')
            finding = finding._replace(command=command)
        yield finding


def format_findings(findings: list[Finding]) -> str:
    """Write findings with their commands, one below the other.

    Args:
        findings (list[Finding]): Output of :func:`diagnose`.

    Returns:
        str: The text, without a newline at its end.
    """
    return '\n'.join(
        f'{finding.level}: {finding.message}\n    {finding.command}'
        for finding in findings
    )


def find_culprit(error: Exception, stack: Stack) -> Iterator[Finding]:
    """Find an optional package within which an import has failed.

    Args:
        error (Exception): What the import raised.
        stack (Stack): What is installed.
    """
    modules = [
        frame.f_globals.get('__name__', '')
        for frame, _ in walk_tb(error.__traceback__)
    ]
    transformers = stack.version('transformers')
    if any(name.partition('.')[0] == 'transformers' for name in modules):
        yield Finding(
            'error',
            f'transformers {transformers} cannot be imported; only '
            'HuggingFaceClassifier needs it',
            'pip uninstall -y transformers',
        )
    elif any(name.startswith(MULTIMODAL) for name in modules):
        yield Finding(
            'error',
            'the multimodal models of mmpretrain do not work with '
            f'transformers {transformers}; nothing here needs them, and '
            'without pycocotools they are left out',
            'pip uninstall -y pycocotools',
        )


def explain(
    error: Exception, package: str = 'mmdskd', stack: Optional[Stack] = None
) -> str:
    """Say why an import failed.

    Args:
        error (Exception): What the import raised.
        package (str): Name of the imported package. Defaults to 'mmdskd'.
        stack (Stack, optional): What is installed. Defaults to that of this
            Python.

    Returns:
        str: The message for the user.
    """
    stack = stack or Stack.read()
    culprits = use_installer(find_culprit(error, stack), stack)
    findings = format_findings([*culprits, *diagnose(stack)])
    return (
        f'{package} cannot be imported: {type(error).__name__}: {error}\n'
    ) + (
        findings
        or 'The installed versions are not the reason; '
        '`python -m mmdskd.doctor` lists them.'
    )


def list_packages(stack: Stack) -> Iterator[tuple[str, str]]:
    """List the packages that matter here.

    Args:
        stack (Stack): What is installed.

    Yields:
        tuple[str, str]: A name and its version, '-' if it is missing.
    """
    yield 'python', '.'.join(map(str, stack.python))
    for package in ('mmdskd', 'torch', 'torchvision', 'numpy'):
        yield package, stack.version(package) or '-'
    for package in OPENCV:
        if package in stack.versions:
            yield package, stack.versions[package]
    for module in MODULES:
        for package in stack.installed(module) or [stack.line[module]]:
            yield package, stack.version(package) or '-'
    for package in PACKAGES:
        yield package, stack.version(package) or '-'
    for package in OPTIONAL:
        if package in stack.versions:
            yield package, stack.versions[package]


def main(stack: Optional[Stack] = None) -> int:
    """Print what is installed and what is wrong with it.

    Args:
        stack (Stack, optional): What is installed. Defaults to that of this
            Python.

    Returns:
        int: 1 if there is an error, else 0.
    """
    stack = stack or Stack.read()
    print(f'{"line":<18}{"OneDL" if stack.is_onedl else "OpenMMLab"}')
    for package, version in list_packages(stack):
        print(f'{package:<17} {version}')
    findings = diagnose(stack)
    print()
    print(format_findings(findings) or 'All is well.')
    return int(any(finding.level == 'error' for finding in findings))
