"""What the tests share. The plugin under test is loaded as a user's pytest would load it."""

from __future__ import annotations

import pathlib
import shutil

import pytest

pytest_plugins = ["pytester", "betacrew.pytest_plugin"]

CLIENTS = pathlib.Path(__file__).parents[2] / "examples" / "clients"


@pytest.fixture
def clients(tmp_path: pathlib.Path) -> pathlib.Path:
    """Folder with copies of the example clients."""
    for file in CLIENTS.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path
