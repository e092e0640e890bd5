"""What starting a fleet changes, in which order, and when a service counts as started or failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.config.fleet import Fleet
from app.config.load import load_fleet
from app.deploy.change import WORKING_FOLDER, Change, Kind, Port, Service, changes, lost, needed_by, services_of
from app.deploy.docker import Container
from app.deploy.plan import Batch, Phase, plan_of
from app.deploy.rollout import Stage, outcome
from app.deploy.target import Target, UnknownNameError, targets

BOT = Service("bot", "app:1", "hash", "sha256:1", needs=("migrate",))
MIGRATE = Service("migrate", "app:1", "hash", "sha256:1", is_job=True, needs=("postgres",))
POSTGRES = Service("postgres", "postgres:17", "hash", "sha256:p")
PROXY = Service("proxy", "caddy:2", "hash", "sha256:c")
GRAFANA = Service("grafana", "grafana:1", "hash", "sha256:g", profiles=("monitoring",))

RUNNING = Container(
    id="1",
    name="fleet-bot-1",
    service="bot",
    number=1,
    state="running",
    health="healthy",
    exit_code=0,
    error="",
    is_out_of_memory=False,
    restarts=0,
    image="app:1",
    image_id="sha256:1",
    config_hash="hash",
    started_at=None,
    labels={WORKING_FOLDER: "/srv/fleet"},
)


@pytest.mark.parametrize(
    ("service", "containers", "kind", "why"),
    [
        (BOT, [], Kind.NEW, "app:1"),
        (BOT, [RUNNING], Kind.SAME, ""),
        (BOT, [replace(RUNNING, health="unhealthy")], Kind.SAME, ""),
        (BOT, [replace(RUNNING, config_hash="old")], Kind.CHANGED, "its settings"),
        (
            BOT,
            [replace(RUNNING, config_hash="old", image="app:0", image_id="sha256:0")],
            Kind.CHANGED,
            "app:0 -> app:1",
        ),
        (BOT, [replace(RUNNING, image_id="sha256:0")], Kind.IMAGE, "app:1 is another one now"),
        (replace(BOT, image_id=None), [RUNNING], Kind.IMAGE, "app:1 is another one now"),
        (replace(BOT, replicas=2), [RUNNING], Kind.SCALE, "1 -> 2 containers"),
        (BOT, [RUNNING, replace(RUNNING, number=2)], Kind.SCALE, "2 -> 1 containers"),
        (BOT, [replace(RUNNING, state="exited")], Kind.START, "its container is exited"),
        (MIGRATE, [replace(RUNNING, service="migrate", state="exited")], Kind.SAME, ""),
    ],
)
def test_change(service: Service, containers: list[Container], kind: Kind, why: str) -> None:
    assert changes([service], containers) == [Change(service.name, kind, why)]


def test_what_is_gone_is_removed_if_it_is_ours() -> None:
    other = replace(RUNNING, service="theirs", labels={WORKING_FOLDER: "/srv/other"})
    assert lost({"bot"}, [RUNNING, replace(RUNNING, service="old"), other], "/srv/fleet") == [
        Change("old", Kind.GONE, "not in the config any more"),
        Change("theirs", Kind.OTHER, "belongs to /srv/other, which calls its project the same; it is left alone"),
    ]


def test_services_are_read_from_compose() -> None:
    config = {
        "services": {
            "bot": {
                "image": "app:1",
                "restart": "unless-stopped",
                "depends_on": {"migrate": {}},
                "deploy": {"replicas": 2},
            },
            "migrate": {"image": "app:1", "restart": "no", "depends_on": None},
            "grafana": {"image": "grafana:1", "profiles": ["monitoring"]},
            "prometheus": {"image": "prom:1", "depends_on": {"rules": {"restart": True}, "bot": {"required": True}}},
        }
    }
    assert services_of(config, {"bot": "1", "migrate": "2", "grafana": "3", "prometheus": "4"}) == {
        "bot": Service("bot", "app:1", "1", replicas=2, needs=("migrate",)),
        "migrate": Service("migrate", "app:1", "2", is_job=True),
        "grafana": Service("grafana", "grafana:1", "3", profiles=("monitoring",)),
        "prometheus": Service("prometheus", "prom:1", "4", needs=("rules", "bot"), follows=("rules",)),
    }


ALL = {service.name: service for service in (BOT, replace(BOT, name="pair"), MIGRATE, POSTGRES, PROXY, GRAFANA)}
BOTS = {"bot": 1, "pair": 2}


def test_what_bots_need() -> None:
    assert needed_by(ALL, ["bot"]) == {"migrate", "postgres"}


def test_a_new_fleet_starts_from_the_ground_up() -> None:
    plan = plan_of(ALL, [], "/srv/fleet")
    assert plan.phases(BOTS, 4) == [
        Phase((Batch(("postgres",)),), is_needed=True),
        Phase((Batch(("migrate",)),), is_needed=True),
        Phase((Batch(("bot", "pair"), 3),)),
        Phase((Batch(("proxy",)),)),
    ]
    assert plan.phases(BOTS, 1)[2] == Phase((Batch(("bot",), 1), Batch(("pair",), 2)))


def running(*services: Service) -> list[Container]:
    return [
        replace(RUNNING, service=service.name, image=service.image, image_id=service.image_id or "")
        for service in services
    ]


def test_what_goes_on_is_looked_at_last_and_no_job_is_run_for_it() -> None:
    plan = plan_of(ALL, running(*ALL.values()), "/srv/fleet")
    same = ("bot", "pair", "postgres", "proxy", "grafana")
    assert plan.phases(BOTS, 4) == [Phase((Batch(same, is_start=False),))]


def test_who_has_read_what_a_job_brings_starts_again_after_its_change_and_after_all_others() -> None:
    job = Service("rules", "app:2", "hash", "sha256:2", is_job=True)
    reader = Service("reader", "prom:1", "hash", "sha256:p", needs=("rules",), follows=("rules",))
    stopped = Service("stopped", "prom:1", "hash", "sha256:p", needs=("rules",), follows=("rules",))
    services = {one.name: one for one in (job, reader, stopped, replace(BOT, image="app:2"), POSTGRES)}
    before = [*running(replace(job, image_id="sha256:1"), reader, BOT, POSTGRES)]
    before += [replace(one, state="exited") for one in running(stopped)]
    plan = plan_of(services, before, "/srv/fleet")
    assert plan.changes[:3] == (
        Change("rules", Kind.IMAGE, "app:2 is another one now"),
        Change("reader", Kind.RESTART, "rules changes"),
        Change("stopped", Kind.START, "its container is exited"),
    )
    assert plan.phases({"bot": 1}, 4) == [
        Phase((Batch(("rules",)),), is_needed=True),
        Phase((Batch(("stopped",)),)),
        Phase((Batch(("reader",), is_start=False, is_restart=True),)),
        Phase((Batch(("bot", "postgres"), is_start=False),)),
    ]
    after = plan_of(services, [*running(*services.values())], "/srv/fleet")
    assert {change.kind for change in after.changes} == {Kind.SAME}


def test_a_changed_bot_starts_alone_after_the_jobs() -> None:
    containers = running(*ALL.values())
    containers[0] = replace(containers[0], config_hash="old")
    plan = plan_of(ALL, containers, "/srv/fleet", {"bot"})
    assert [(change.service, change.kind) for change in plan.changes] == [
        ("bot", Kind.CHANGED),
        ("migrate", Kind.SAME),
        ("postgres", Kind.SAME),
    ]
    assert plan.phases(BOTS, 4) == [
        Phase((Batch(("migrate",)),), is_needed=True),
        Phase((Batch(("bot",), 1),)),
        Phase((Batch(("postgres",), is_start=False),)),
    ]


@pytest.mark.parametrize(
    ("containers", "profiles", "expected"),
    [([], set(), False), ([], {"monitoring"}, True), (running(GRAFANA), set(), True)],
)
def test_a_profile_runs_if_it_is_active_or_has_been_started(
    containers: list[Container], profiles: set[str], expected: bool
) -> None:
    plan = plan_of(ALL, containers, "/srv/fleet", profiles=profiles)
    assert ("grafana" in [change.service for change in plan.changes]) == expected


def test_only_a_whole_start_removes_what_is_gone() -> None:
    old = [replace(RUNNING, service="old")]
    assert plan_of(ALL, old, "/srv/fleet").gone == old
    assert plan_of(ALL, old, "/srv/fleet", {"bot"}).gone == []


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (RUNNING, (Stage.READY, "")),
        (replace(RUNNING, health=None), (Stage.READY, "")),
        (replace(RUNNING, health="starting"), (Stage.STARTING, "")),
        (replace(RUNNING, health="unhealthy"), (Stage.FAILED, "runs, but is not healthy")),
        (replace(RUNNING, state="created", health=None), (Stage.STARTING, "")),
        (replace(RUNNING, state="restarting", health="starting", exit_code=78, restarts=1), (Stage.STARTING, "")),
        (
            replace(RUNNING, state="restarting", health="unhealthy", exit_code=78, restarts=2),
            (Stage.FAILED, "ended with exit code 78, again and again"),
        ),
        (replace(RUNNING, health="starting", restarts=2), (Stage.STARTING, "")),
        (replace(RUNNING, state="exited", health=None, exit_code=1), (Stage.FAILED, "ended with exit code 1")),
        (
            replace(RUNNING, state="exited", is_out_of_memory=True, exit_code=137),
            (Stage.FAILED, "ended for want of memory"),
        ),
        (
            replace(RUNNING, state="created", error="no such device", restarts=2, health=None),
            (Stage.FAILED, "no such device, again and again"),
        ),
    ],
)
def test_outcome(container: Container, expected: tuple[Stage, str]) -> None:
    assert outcome([container]) == expected


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("running", 0, (Stage.STARTING, "")),
        ("exited", 0, (Stage.READY, "")),
        ("exited", 1, (Stage.FAILED, "ended with exit code 1")),
    ],
)
def test_the_outcome_of_a_job_is_its_end(state: str, code: int, expected: tuple[Stage, str]) -> None:
    assert outcome([replace(RUNNING, state=state, health=None, exit_code=code)], is_job=True) == expected


def test_replicas_are_ready_together() -> None:
    assert outcome([RUNNING, replace(RUNNING, health="starting")]) == (Stage.STARTING, "")
    assert outcome([RUNNING, replace(RUNNING, health="unhealthy")]) == (Stage.FAILED, "runs, but is not healthy")
    assert outcome([]) == (Stage.FAILED, "has no container")


CONFIG = """
telegram: sandbox
bots:
  - {name: solo, bot_name: SoloBot, folder: a}
  - {name: first, folder: a, group: pair}
  - {name: second, folder: a, group: pair}
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["solo"], [Target("solo")]),
        (["SoloBot", "solo"], [Target("solo")]),
        (["second"], [Target("pair", "second")]),
        (["pair", "postgres"], [Target("pair"), Target("postgres")]),
    ],
)
def test_names(tmp_path: Path, names: list[str], expected: list[Target]) -> None:
    assert targets(fleet(tmp_path), names, ["postgres"]) == expected


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as error:
        targets(fleet(tmp_path), ["frist"], ["postgres"])
    assert str(error.value) == f"{tmp_path}/bots_config.yaml: there is no bot 'frist'; did you mean 'first'?"


def fleet(folder: Path) -> Fleet:
    (folder / "scripts/a").mkdir(parents=True)
    (folder / "scripts/a/courses.yml").write_text("default: {path: c.yml}\n")
    (folder / "bots_config.yaml").write_text(CONFIG)
    return load_fleet(folder / "bots_config.yaml", {}, need_secrets=False)


def test_the_ports_of_a_service_are_those_at_certain_numbers_by_tcp() -> None:
    ports = [
        {"target": 8080, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"},
        {"target": 443, "published": "443", "protocol": "tcp"},
        {"target": 443, "published": "443", "protocol": "udp"},
        {"target": 80, "published": "8000-8010", "protocol": "tcp"},
        {"target": 81, "protocol": "tcp"},
    ]
    (service,) = services_of({"services": {"proxy": {"ports": ports}}}, {}).values()

    assert service.ports == (Port("127.0.0.1", 8080), Port("0.0.0.0", 443))
