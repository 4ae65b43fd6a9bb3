"""The files of a data directory."""

from __future__ import annotations

import pathlib

import pytest

from eventalarm.standalone import datadir
from eventalarm.vault import Vault


def test_a_process_that_is_killed_leaves_no_empty_key(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the key is written in place: an empty file would count as the key from then on."""
    data = datadir.DataDir(tmp_path)
    write = pathlib.Path.write_text

    def killed(path: pathlib.Path, text: str) -> int:
        if not path.name.startswith("credentials"):
            return write(path, text)
        path.touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            datadir.fill(data, "/api-paste.ini")
    datadir.fill(data, "/api-paste.ini")
    key = data.credentials_key.read_text()
    assert Vault(key).usable
    datadir.fill(data, "/api-paste.ini")
    assert data.credentials_key.read_text() == key
