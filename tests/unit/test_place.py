"""The demonstration's settings, and a shell that reached them."""

from pathlib import Path

import pytest

from deploy.place import others_of, write_environment


def test_a_shell_that_reaches_us_names_no_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tipoff.env"
    ours = {"DATABASE_URL": "postgresql://us/it's ours", "REDIS_URL": "redis://us"}
    write_environment(ours, file)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    assert not ours.keys() & others_of(file).keys()
    monkeypatch.setenv("DATABASE_URL", "postgresql://them")
    assert others_of(file)["DATABASE_URL"] == "postgresql://them"
    assert "DATABASE_URL" in others_of(tmp_path / "never written")
