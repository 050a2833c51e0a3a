import subprocess
import sys
import threading

from mmdskd.experiments.folder_lock import exclusive


def test_training_that_outlives_its_demo_keeps_others_out(tmp_path, capsys):
    with exclusive(tmp_path) as lock:
        training = subprocess.Popen(
            [sys.executable, '-c', 'input()'],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
        )
    entered = threading.Event()

    def start_another():
        with exclusive(tmp_path):
            entered.set()

    threading.Thread(target=start_another, daemon=True).start()
    assert not entered.wait(0.3)
    training.communicate()
    assert entered.wait(60)
    assert capsys.readouterr().out == (
        f'Another demo, or a training of one, works in {tmp_path}: waiting '
        'for it to end.\n'
    )
