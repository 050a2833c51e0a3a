import pytest

from mmdskd.registry import MODELS, TASK_UTILS


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What examples register is gone after them."""
    for registry in (MODELS, TASK_UTILS):
        registry.import_from_location()
        monkeypatch.setattr(
            registry, '_module_dict', dict(registry.module_dict)
        )
