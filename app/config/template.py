"""Text with references to environment variables: ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``.

The same notation that Compose uses; ``$${`` stands for a literal ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.errors import FlotillaError

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_PARTS = re.compile(
    rf"(?P<escaped>\$\$\{{)|\$\{{(?P<name>{_VARIABLE})(?:(?P<operator>:-|:\?)(?P<argument>[^{{}}]*))?\}}|(?P<broken>\$\{{)"
)


class TemplateError(FlotillaError):
    """A reference that cannot be resolved; the text names the variable, ``remedy`` says what to do."""

    def __init__(self, text: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(text)


class UnsetVariableError(TemplateError):
    """A reference to a variable that is not set and has no default."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One ``${...}``: the variable, the text that replaces it when it is unset or empty, or what to say then."""

    name: str
    default: str | None = None
    message: str = ""

    def resolve(self, environ: Mapping[str, str]) -> str:
        """Return the variable's value or the default.

        Raises :class:`UnsetVariableError`: the variable is not set and there is no default.
        """
        value = environ.get(self.name)
        if value or (value is not None and self.default is None and not self.message):
            return value
        if self.default is not None:
            return self.default
        reason = f": {self.message}" if self.message else ""
        raise UnsetVariableError(f"variable {self.name} is not set{reason}", f"put {self.name}=... into .env")


def is_variable_name(text: str) -> bool:
    """Whether ``text`` can be the name of an environment variable."""
    return bool(re.fullmatch(_VARIABLE, text))


def rewrite(text: str, literal: Callable[[str], str], reference: Callable[[Reference], str]) -> str:
    """Build a new text from the literal pieces and the references of ``text``, in order.

    Raises :class:`TemplateError`: a ``${`` does not begin a reference.
    """
    pieces, end = [], 0
    for match in _PARTS.finditer(text):
        pieces.append(literal(text[end : match.start()]))
        pieces.append(literal("${") if match["escaped"] else reference(_reference(match)))
        end = match.end()
    return "".join([*pieces, literal(text[end:])])


def references(text: str) -> list[Reference]:
    """List the references of ``text`` in order.

    Raises :class:`TemplateError`: a ``${`` does not begin a reference.
    """
    found: list[Reference] = []

    def remember(reference: Reference) -> str:
        found.append(reference)
        return ""

    rewrite(text, str, remember)
    return found


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """Replace the references of ``text`` by the values of their variables.

    Raises :class:`UnsetVariableError`: a variable is not set and has no default; :class:`TemplateError`: a ``${`` does
    not begin a reference.
    """
    return rewrite(text, str, lambda reference: reference.resolve(environ))


def single_reference(text: str) -> Reference | None:
    """Return the reference that is all of ``text``, or None if ``text`` holds anything else."""
    match = _PARTS.fullmatch(text)
    return _reference(match) if match and match["name"] else None


def _reference(match: re.Match[str]) -> Reference:
    if match["broken"]:
        raise TemplateError(
            "'${' does not begin a reference", "write ${NAME}, or $${ for the two characters themselves"
        )
    argument = match["argument"] or ""
    match match["operator"]:
        case ":-":
            return Reference(match["name"], default=argument)
        case ":?":
            return Reference(match["name"], message=argument or "it is required")
        case _:
            return Reference(match["name"])
