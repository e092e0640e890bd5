"""The PostgreSQL of a fleet in containers, which only they can reach, made reachable for one command here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from app.deploy.docker import Container, Engine
from app.deploy.project import Project
from app.deploy.tunnel import Tunnel

SERVICE = "postgres"

SANDBOX_PASSWORD = "sandbox"  # noqa: S105 - what compose.yaml says where none is set
SOCKET = ".s.PGSQL.5432"

# One process, for PostgreSQL is the init of its container: were a child of this one left over and killed, it would take
# that for a crash of its own and begin anew. Both ways are buffered: in a pipeline both sides may write at a time.
_RELAY = r"""
use strict; use IO::Handle; use IO::Select; use IO::Socket::INET;
my $server = IO::Socket::INET->new('127.0.0.1:5432') or die "$@\n";
my @ways = ([\*STDIN, $server, ''], [$server, \*STDOUT, '']);
$SIG{PIPE} = 'IGNORE';
$_->[1]->blocking(0) for @ways;
while (1) {
    my $readable = IO::Select->new(map { $_->[0] } grep { length $_->[2] < 65536 } @ways);
    my $writable = IO::Select->new(map { $_->[1] } grep { length $_->[2] } @ways);
    my ($from, $to) = IO::Select->select($readable, $writable, undef);
    for my $way (@ways) {
        if (grep { $_ == $way->[1] } @$to) {
            my $count = syswrite($way->[1], $way->[2]);
            exit 1 unless defined $count || $!{EAGAIN};
            substr($way->[2], 0, $count // 0) = '';
        }
        if (grep { $_ == $way->[0] } @$from) {
            my $count = sysread($way->[0], $way->[2], 65536, length $way->[2]);
            next if !defined $count && $!{EAGAIN};
            next if $count;
            $way->[1]->blocking(1);
            syswrite($way->[1], $way->[2]);
            exit;
        }
    }
}
"""


def running_postgres(engine: Engine, project: Project) -> Container | None:
    """Return the container of the project's database if it runs."""
    found = [one for one in engine.containers(project.name) if one.service == SERVICE and one.is_running]
    return found[0] if found else None


@contextmanager
def way_to(container: Container, variables: Mapping[str, str]) -> Iterator[str]:
    """Lend a URL under which the database in this container is reachable from here, through the engine.

    ``variables`` are those of the fleet, which may have the password. Nobody else can use the way: it begins with a
    socket in a folder of our own. Nothing is published.
    """
    command = ["docker", "exec", "--interactive", container.id, "perl", "-e", _RELAY]
    tunnel = Tunnel(command, SOCKET)
    try:
        password = quote(variables.get("POSTGRES_PASSWORD") or SANDBOX_PASSWORD, safe="")
        yield f"postgresql://flotilla:{password}@/flotilla?{urlencode({'host': tunnel.folder})}"
    finally:
        tunnel.close()
