"""A PostgreSQL for tests that stop it, fill its disk or put another in its place; what it commits survives that."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.store.embedded import PORT, EmbeddedPostgres, _Programs
from app.store.migrate import migrate


class Server:
    """A server with its data in ``folder``; ``start`` also starts one again that was stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._postgres = EmbeddedPostgres(folder)

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return f"{conninfo_to_dict(self.url)['host']}/.s.PGSQL.{PORT}"

    def start(self) -> None:
        self.url = self._postgres.start()

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends all sessions, ``immediate`` is a crash."""
        self.run("pg_ctl", "-D", str(self.folder), "-m", mode, "-w", "stop")

    def close(self) -> None:
        self._postgres.stop()

    def restart(self, mode: str) -> None:
        self.stop(mode)
        self.start()

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "-D", str(self.folder), "-w", "promote")

    def database(self, name: str = "fleet", options: str = "") -> str:
        """Create a database with all tables, and return its URL."""
        self.execute(f"CREATE DATABASE {name} {options}")
        url = make_conninfo(self.url, dbname=name)
        migrate(url)
        return url

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def set(self, name: str, value: str) -> None:
        """Change a setting, for sessions that exist too."""
        self.execute(f"ALTER SYSTEM SET {name} = {value}")
        self.execute("SELECT pg_reload_conf()")

    def standby(self, folder: Path) -> Server:
        """Return a standby that has, once started, all that is committed here: commits wait for it."""
        _Programs(self.folder).make_folder(folder)
        self.run("pg_basebackup", "-D", str(folder), "-R", "-X", "stream", "-c", "fast", "-d", self.url)
        for file in folder.glob(".s.PGSQL.*"):  # the socket is in the data folder, and its lock is copied
            file.unlink()
        conf = folder / "postgresql.auto.conf"
        conf.write_text(
            conf.read_text().replace("primary_conninfo = '", "primary_conninfo = 'application_name=standby ")
        )
        return Server(folder)

    def run(self, program: str, *arguments: str) -> None:
        _Programs(self.folder).run(program, *arguments)

    def own(self, folder: Path) -> Path:
        """Give a folder to the user who runs the server."""
        status = self.folder.stat()
        shutil.chown(folder, status.st_uid, status.st_gid)
        return folder
