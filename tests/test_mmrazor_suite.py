"""The script that runs MMRazor's tests, on a clone of four tests."""

import pytest
from mmrazor_suite import (
    Result,
    find_area,
    find_reason,
    main,
    read_report,
    summarise,
)

TESTS = {
    'test_losses.py': (
        'import sys\n'
        'from mmcls.structures import ClsDataSample\n'
        'from mmrazor.models.losses import KDSoftCELoss\n'
        'def test_alias():\n'
        '    assert "mmdskd" in sys.modules\n'
        '    from mmpretrain.structures import DataSample\n'
        '    assert ClsDataSample is DataSample\n'
        'def test_failing():\n'
        '    import no_such_package\n'
    ),
    'test_mutator.py': 'import mmdet\n',
    'test_qconfig.py': (
        'import pytest\n@pytest.mark.skip\ndef test_skipped():\n    pass\n'
    ),
}


@pytest.fixture
def clone(tmp_path):
    (tmp_path / 'tests').mkdir()
    for name, text in TESTS.items():
        (tmp_path / 'tests' / name).write_text(text)
    # Of a clone that is not installed
    (tmp_path / 'mmrazor').mkdir()
    (tmp_path / 'mmrazor/__init__.py').write_text('raise SystemExit("met")')
    return tmp_path


@pytest.mark.slow
def test_tables_of_a_clone(clone, capfd):
    main([str(clone)])
    out = capfd.readouterr().out
    for row in (
        '| distillation | 1 | 1 | 0 | 0 |',
        '| NAS | 0 | 0 | 1 | 0 |',
        '| quantization | 0 | 0 | 0 | 1 |',
        '| all | 1 | 1 | 1 | 1 |',
        '| a package is missing: mmdet | not loaded | 1 |',
        '| a package is missing: no_such_package | failed | 1 |',
    ):
        assert row in out.splitlines()
    assert (
        'failed: tests.test_losses.test_failing: a package is missing: '
        'no_such_package'
    ) in out


def test_folder_without_tests_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert (
        f'clone should be a folder of MMRazor with its tests, but {tmp_path} '
        'has none'
    ) in capsys.readouterr().err


@pytest.mark.parametrize(
    'name, area',
    [
        ('tests.test_models.test_quantizers.test_exporter.TestA', 'quantiz'),
        ('tests.test_models.test_algorithms.test_dmcp.TestDMCP', 'pruning'),
        ('tests.test_models.test_algorithms.test_spos.TestSPOS', 'NAS'),
        ('tests.test_models.test_distillers.test_byot.TestB', 'distill'),
        ('tests.test_registry.test_registry.TestRegistry', 'tracing'),
    ],
)
def test_areas(name, area):
    assert find_area(name).startswith(area)


def test_report():
    report = (
        '<testsuites><testsuite>'
        '<testcase classname="tests.test_a.A" name="b"/>'
        '<testcase classname="tests.test_a.A" name="c">'
        '<failure message="KeyError: 1">x\nE   KeyError: 1\n</failure>'
        '</testcase>'
        '<testcase classname="" name="tests.test_b">'
        '<error message="collection failure">E   ImportError: y</error>'
        '</testcase></testsuite></testsuites>'
    )
    results = read_report(report)
    assert results == [
        Result('tests.test_a.A.b', 'passed', ''),
        Result('tests.test_a.A.c', 'failed', 'KeyError: 1'),
        Result('tests.test_b', 'not loaded', 'ImportError: y'),
    ]
    assert find_reason(results[1]) == 'KeyError: 1'
    assert '| all | 1 | 1 | 1 | 0 |' in summarise(results)
