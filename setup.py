import shutil
from pathlib import Path

from setuptools import setup
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


# Everything else is in pyproject.toml.
setup(cmdclass={'build_py': BuildPyWithMim})
