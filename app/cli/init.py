"""``flotilla init``: a first config, a first course and secrets."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import FlotillaError

COURSE_FOLDER = "hello"

CONFIG = """\
# yaml-language-server: $schema=bots_config.schema.json
#
# The fleet: every bot, in one file. After a change: flotilla check

# The sandbox stands in for Telegram and has a chat page of its own, so that nothing has to be registered.
# To go live, remove this line, get tokens from @BotFather and put them into .env.
telegram: sandbox

bots:
{bots}"""

BOT = """\
  - name: {name}
    token_env: {variable}
    folder: {folder}
"""

COURSES = """\
# The courses of this bot: a name, and the file. 'default' is what /start begins.
default:
  path: hello.yml
"""

COURSE = """\
# A course is a list of elements, sent one after another. Change a text, save, and talk to the bot again.
Hello_1:
  type: message
  text: |
    Hello! This is your first course.
  button: Go on

Hello_2:
  type: quiz
  text: Where does this text come from?
  answers:
    - text: From scripts/hello/hello.yml
      correct: yes
      feedback: Right. Open the file and change it.
    - text: From Telegram
      feedback: Telegram only carries it. It is written in scripts/hello/hello.yml.

Hello_3:
  type: end
  text: That was it. Write your own!
"""

ENVIRONMENT = """\
# Secrets of this fleet. Keep this file to yourself.

# Password of the database that 'docker compose up' starts
POSTGRES_PASSWORD={password}

# Telegram sends it with every webhook call, so that nobody else can
WEBHOOK_SECRET_TOKEN={webhook_secret}

# Password of Grafana's user admin ('docker compose --profile monitoring up')
GRAFANA_PASSWORD={grafana_password}

# Tokens from @BotFather; the sandbox needs none
{tokens}"""

IGNORED = """\
.env
.flotilla/
"""


def init(
    config: Annotated[Path, typer.Option(help="The config to write; the rest goes beside it.")] = Path(
        "bots_config.yaml"
    ),
) -> None:
    """Write a starter config, a course and .env.

    The secrets in .env are new; what exists stays as it is.
    """
    from app.config.schema import schema

    folder = config.parent
    try:
        folders = _course_folders(folder / "scripts") or _write_course(folder / "scripts" / COURSE_FOLDER)
        bots = {name: course_folder for course_folder in folders if (name := course_folder or "bot")}
        _write(config, CONFIG.format(bots="".join(_bot(name, course) for name, course in bots.items())))
        _write(folder / "bots_config.schema.json", schema())
        _write(folder / ".env", _environment([_variable(name) for name in bots]), mode=0o600)
        _write(folder / ".gitignore", IGNORED)
    except OSError as error:
        raise FlotillaError(f"{error.filename} cannot be written: {error.strerror}") from error
    typer.echo(f"next: {_run_command(config)}")


def _course_folders(scripts: Path) -> list[str]:
    """List the folders that have courses and a name that can be the name of a bot."""
    from app.config.rules import is_service_name

    found = sorted(path.parent.relative_to(scripts).as_posix() for path in scripts.glob("*/courses.yml"))
    root = [""] if (scripts / "courses.yml").is_file() else []
    return root + [name for name in found if is_service_name(name)]


def _write_course(folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "courses.yml", COURSES)
    _write(folder / "hello.yml", COURSE)
    return [folder.name]


def _bot(name: str, folder: str) -> str:
    return BOT.format(name=name, variable=_variable(name), folder=folder or '""')


def _variable(name: str) -> str:
    """Name the variable of a bot's token: ``BOT_API_TOKEN`` as before for the only bot of old, else after the bot."""
    if name == "bot":
        return "BOT_API_TOKEN"
    cleaned = "".join(letter if letter.isalnum() else "_" for letter in name.upper())
    return f"{'_' if cleaned[0].isdigit() else ''}{cleaned}_TOKEN"


def _environment(variables: list[str]) -> str:
    tokens = "".join(f"# {variable}=\n" for variable in variables)
    fresh = {name: secrets.token_hex(24) for name in ("password", "webhook_secret", "grafana_password")}
    return ENVIRONMENT.format(**fresh, tokens=tokens)


def _write(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a new file and say so; an existing one stays as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        typer.echo(f"kept  {path} (it exists)")
        return
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    typer.echo(f"wrote {path}")


def _run_command(config: Path) -> str:
    return (
        f"{_called()} run"
        if config == Path("bots_config.yaml")
        else f"{_called()} run --config {shlex.quote(str(config))}"
    )


def _called() -> str:
    """Return the command as the user called it: by its path, unless its name is enough. The launcher tells its own."""
    path = os.environ.get("FLOTILLA_COMMAND") or sys.argv[0]
    found = shutil.which("flotilla")
    is_found = found is not None and os.path.exists(path) and os.path.samefile(found, path)
    return shlex.quote(path) if Path(path).name == "flotilla" and not is_found else "flotilla"
