"""The data folder, its secrets and locks, the .env file, and what is said about who runs."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.integrations.data_folder import FolderLock, private_folder, secret
from app.integrations.env_file import add_variable
from app.integrations.standing import Standing, forget_standing, is_up, read_standing, up_lock, write_standing


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    assert mode(private_folder(tmp_path / "a" / "b")) == 0o700
    (tmp_path / "old").mkdir(mode=0o755)
    assert mode(private_folder(tmp_path / "old")) == 0o755


def test_a_secret_is_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(secret, [tmp_path / "data"] * 64, ["x"] * 64))
    assert len(found) == 1
    assert len(found.pop()) == 43
    assert [path.name for path in (tmp_path / "data" / "secrets").iterdir()] == ["x"]
    assert mode(tmp_path / "data" / "secrets" / "x") == 0o600
    assert secret(tmp_path / "data", "x") != secret(tmp_path / "data", "y")


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "l"), FolderLock(tmp_path / "l")
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert (first.held, second.held) == (True, False)
    assert second.holder()
    first.release()
    assert second.acquire()
    second.release()
    assert FolderLock(tmp_path / "none").holder() is None


def test_a_variable_is_added_and_the_rest_of_the_file_kept(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    add_variable(path, "A", "1")
    assert mode(path) == 0o600
    path.write_text("# note\nB=2\nA=\nC=3")
    add_variable(path, "A", r"\1")
    add_variable(path, "D", "4")
    assert path.read_text() == "# note\nB=2\nA=\\1\nC=3\nD=4\n"


def test_standing_is_believed_while_its_writer_lives(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert read_standing(data) == Standing(None, data, [])
    lock = up_lock(data)
    assert not is_up(data)
    assert lock.acquire()
    assert is_up(data)
    assert read_standing(data).url is None
    write_standing(Standing("http://here", data, [{"role": "api", "pid": 2**22 + 1, "port": 1}]))
    assert read_standing(data) == Standing("http://here", data, [])  # that process is gone
    lock.release()
    assert read_standing(data).url is None
    forget_standing(data)
    assert not (data / "state.json").exists()
