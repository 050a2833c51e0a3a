import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')


class BuildPyWithMim(build_py):
    """Pack ``MIM_FILES`` into ``mmdskd/.mim``, where MMEngine and MIM look.

    A wheel gets copies. An editable install gets links in the source tree,
    so that a change in ``configs/`` shows at once.
    """

    def run(self) -> None:
        super().run()
        base = ROOT if self.editable_mode else Path(self.build_lib).resolve()
        mim = base / 'mmdskd' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_FILES:
            source = ROOT / name
            if self.editable_mode:
                (mim / name).symlink_to(source)
            elif source.is_dir():
                shutil.copytree(
                    source,
                    mim / name,
                    ignore=shutil.ignore_patterns('__pycache__'),
                )
            else:
                shutil.copy2(source, mim / name)


def read_version() -> str:
    """Get the version without importing the package, which needs torch."""
    scope: dict = {}
    exec((ROOT / 'mmdskd' / 'version.py').read_text(), scope)
    return scope['__version__']


def read_requirements(name: str) -> list[str]:
    """Get the lines of a file in ``requirements/``, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmdskd',
    version=read_version(),
    description='Knowledge distillation with deep supervision (DSKD), as '
    'components for MMRazor',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    keywords='knowledge distillation, deep supervision, model compression',
    license='Apache-2.0',
    classifiers=[
        'Programming Language :: Python :: 3.9',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmdskd', 'mmdskd.*']),
    # Modules to MMEngine's pure-Python configs, but no package to Python.
    package_data={'mmdskd': ['configs/**/*.py']},
    python_requires='>=3.9',
    # mmcv or mmcv-lite is up to the user: see requirements/mminstall.txt.
    install_requires=read_requirements('runtime'),
    extras_require={
        'mim': read_requirements('mminstall'),
        'optional': read_requirements('optional'),
        'tests': read_requirements('tests'),
    },
    cmdclass={'build_py': BuildPyWithMim},
)
