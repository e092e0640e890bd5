"""Embedded PostgreSQL: what survives crashes, who may reach it, and what it touches."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from app.store.embedded import EmbeddedPostgres
from app.store.errors import StoreError

embedded = partial(EmbeddedPostgres, durable=False)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(server_folder: Path) -> Iterator[Path]:
    """Where a fleet keeps its data; whatever server a test leaves behind there is stopped."""
    folder = server_folder / "fleet" / ".flotilla" / "postgres"
    yield folder
    for process in servers_of(folder):
        process.kill()
        process.wait()


def servers_of(folder: Path) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if str(folder) in (process.info["cmdline"] or [])]


def server_pid(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().splitlines()[0])


def remember(url: str, word: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS word (word text)")
        connection.execute("INSERT INTO word VALUES (%s)", [word])


def words(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM word ORDER BY word")]


def test_no_server_is_left_of_a_start_that_is_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.store.embedded._ready_socket", interrupt)
    with pytest.raises(KeyboardInterrupt), embedded(folder):
        pass
    assert servers_of(folder) == []


def test_data_stays_from_one_start_to_the_next(folder: Path) -> None:
    for word in ("a", "b"):
        with embedded(folder) as url:
            remember(url, word)
    with embedded(folder) as url:
        assert words(url) == ["a", "b"]

    assert servers_of(folder) == []


def test_two_folders_are_two_servers(folder: Path) -> None:
    other = folder.with_name("other")
    with embedded(folder) as url, embedded(other) as other_url:
        remember(url, "a")
        remember(other_url, "b")
        assert (words(url), words(other_url)) == (["a"], ["b"])


def test_nothing_listens_on_the_network(folder: Path) -> None:
    with embedded(folder, max_connections=30) as url, psycopg.connect(url) as connection:
        query = "SELECT current_setting('listen_addresses'), current_setting('max_connections')"
        assert connection.execute(query).fetchone() == ("", "30")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_last_of_several_users_stops_the_server(folder: Path) -> None:
    first, second = embedded(folder), embedded(folder)
    url = first.start()
    assert second.start() == url
    first.stop()
    remember(url, "a")
    second.stop()
    second.stop()

    assert servers_of(folder) == []


def test_committed_data_survives_a_killed_server(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    remember(postgres.start(), "a")
    postmaster = psutil.Process(server_pid(folder))
    killed = [postmaster, *postmaster.children()]
    for process in killed:
        with suppress(psutil.NoSuchProcess):  # without a postmaster they end by themselves
            process.kill()
    psutil.wait_procs(killed)
    assert (folder / "postmaster.pid").exists()

    with embedded(folder) as url:
        assert words(url) == ["a"]
    postgres.stop()


def test_a_killed_postmaster_alone_is_replaced_too(folder: Path) -> None:
    """Its children still hold the shared memory for a moment."""
    postgres = EmbeddedPostgres(folder)
    remember(postgres.start(), "a")
    postmaster = psutil.Process(server_pid(folder))
    postmaster.kill()
    postmaster.wait()

    assert words(postgres.start()) == ["a"]
    postgres.stop()
    assert servers_of(folder) == []


START_AND_DIE = """
import os, sys
from pathlib import Path
from app.store.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_server_of_a_killed_process_is_taken_over(folder: Path) -> None:
    died = subprocess.run([sys.executable, "-c", START_AND_DIE, folder], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL
    left_behind = server_pid(folder)

    with embedded(folder) as url:
        assert url == died.stdout.strip()
        assert server_pid(folder) == left_behind
    assert servers_of(folder) == []


def test_a_pid_file_that_names_some_other_process_is_no_obstacle(folder: Path) -> None:
    """After a power cut the number may belong to anyone."""
    with embedded(folder) as url:
        remember(url, "a")
        pid_file = (folder / "postmaster.pid").read_text().splitlines()
    (folder / "postmaster.pid").write_text("\n".join([str(os.getpid()), *pid_file[1:]]) + "\n")

    with embedded(folder) as url:
        assert words(url) == ["a"]


def test_a_start_that_died_while_it_made_the_data_folder(folder: Path) -> None:
    unfinished = folder.with_name("postgres.new")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with embedded(folder) as url:
        remember(url, "a")


def test_a_path_too_long_for_a_socket(server_folder: Path) -> None:
    folder = server_folder / ("long" * 25) / "with space" / "postgres"
    with embedded(folder) as url:
        remember(url, "a")
        assert words(url) == ["a"]
        (socket_folder,) = [Path(line) for line in (folder / "postmaster.pid").read_text().splitlines()[4:5]]
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    shutil.rmtree(socket_folder)


def test_a_folder_with_other_things_in_it_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "diary.txt").write_text("dear diary")

    with pytest.raises(StoreError, match=r"^'.*/postgres' is not a data folder of PostgreSQL; move it away$"):
        embedded(folder).start()
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


def test_data_of_a_version_that_is_not_installed(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "PG_VERSION").write_text("9\n")

    with pytest.raises(StoreError, match=r"was made by PostgreSQL 9, which is not installed; install a version of"):
        embedded(folder).start()


def test_a_server_that_does_not_start_says_where_its_log_is(folder: Path) -> None:
    with embedded(folder):
        pass
    (folder / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(StoreError, match=r"^pg_ctl of PostgreSQL failed: .*; see '.*/postgres/server\.log'$"):
        embedded(folder).start()


@as_root
def test_root_opens_closed_folders_for_passing_and_no_more(server_folder: Path) -> None:
    closed, folder = server_folder / "closed", server_folder / "closed" / "postgres"
    closed.mkdir(mode=0o700)
    with embedded(folder):
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701
        assert folder.stat().st_uid != 0


@as_root
def test_root_runs_the_server_as_the_owner_of_the_fleet(server_folder: Path) -> None:
    fleet, owner = server_folder / "fleet", 2
    fleet.mkdir(mode=0o700)
    os.chown(fleet, owner, owner)
    with embedded(fleet / "postgres"):
        assert (fleet / "postgres").stat().st_uid == owner
        assert psutil.Process(server_pid(fleet / "postgres")).uids().real == owner
    assert stat.S_IMODE(fleet.stat().st_mode) == 0o700


@as_root
def test_data_of_another_user_is_not_touched(server_folder: Path) -> None:
    server_folder.chmod(0o755)
    folder = server_folder / "postgres"
    folder.mkdir(mode=0o700)
    os.seteuid(2)
    try:
        with pytest.raises(
            StoreError, match=r"/postgres' belongs to the user with number 0; run as that user, or as root$"
        ):
            embedded(folder).start()
    finally:
        os.seteuid(0)
