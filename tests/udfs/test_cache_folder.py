"""Where things that can be made again are kept, with and without a home."""

import os
from pathlib import Path

import pytest

from udfs.cache_folder import cache_folder


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch, tmp_path):
    for name in ("TOKENSIEVE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_named_folder_is_used_and_made(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENSIEVE_CACHE", str(tmp_path / "mine"))
    assert cache_folder("onnx") == tmp_path / "mine" / "onnx"
    assert (tmp_path / "mine" / "onnx").is_dir()


def test_without_one_it_is_the_users_cache(monkeypatch, tmp_path):
    assert cache_folder("onnx") == tmp_path / "home" / ".cache" / "tokensieve" / "onnx"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder("onnx") == tmp_path / "other" / "tokensieve" / "onnx"


def test_a_home_that_takes_no_file_gives_way_to_the_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "home").write_text("not a folder")
    assert cache_folder("onnx") == tmp_path / f"tokensieve-{os.getuid()}" / "onnx"
    assert Path(tmp_path / f"tokensieve-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_named_folder_that_cannot_be_written_to_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOKENSIEVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(PermissionError, match=r"TOKENSIEVE_CACHE=.* cannot be written to"):
        cache_folder("onnx")
