"""The hook gets refresh.json, and whatever it does, the caller only hears a sentence."""

import sys
import time

import pytest

from tokensieve.jobs.refreshing.publish import run_hook


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_it_reads_refresh_json_on_standard_input(tmp_path):
    copy = tmp_path / "got"
    content = b'{"state": "done"}' * 100_000  # more than a pipe holds
    code = f"import sys; open({str(copy)!r}, 'wb').write(sys.stdin.buffer.read())"
    assert run_hook(python(code), content, 30) is None
    assert copy.read_bytes() == content


def test_arguments_are_no_shell(tmp_path):
    code = "import sys; sys.exit(0 if sys.argv[1] == '$(touch pwned); `id`' else 9)"
    assert run_hook([*python(code), "$(touch pwned); `id`"], b"{}", 30) is None


def test_one_that_does_not_read_is_no_trouble():
    assert run_hook(python("pass"), b"x" * 10**6, 30) is None


def test_its_words_go_to_standard_error(capfd):
    assert run_hook(python("print('told 3 people')"), b"{}", 30) is None
    assert capfd.readouterr() == ("", "told 3 people\n")


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("raise SystemExit(7)", "exit code 7; its words are above"),
        ("import os; os.kill(os.getpid(), 15)", "killed by signal 15; its words are above"),
    ],
)
def test_failure_is_a_sentence_with_the_exit_code(code, trouble):
    assert run_hook(python(code), b"{}", 30) == f"refresh.hook: {sys.executable}: {trouble}"


def test_a_command_that_is_not_there_is_a_sentence():
    assert run_hook(["/nowhere/notify"], b"{}", 30) == (
        "refresh.hook: /nowhere/notify: cannot be started: No such file or directory; "
        "give its whole path and make it executable"
    )


def test_after_the_time_out_it_is_killed_with_what_it_started(tmp_path):
    alive = tmp_path / "alive"
    child = f"import time\nwhile True: open({str(alive)!r}, 'a').write('.'); time.sleep(0.05)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    trouble = run_hook(python(code), b"{}", 3)
    assert trouble == f"refresh.hook: {sys.executable}: killed after refresh.hook_timeout_s=3"
    size = alive.stat().st_size
    assert size > 0
    time.sleep(0.5)
    assert alive.stat().st_size == size
