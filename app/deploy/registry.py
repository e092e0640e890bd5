"""The tags that a registry has of an image, by the Docker Registry HTTP API, as far as it tells everybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin
from urllib.request import parse_http_list, parse_keqv_list

import aiohttp
from yarl import URL

from app.config.rules import is_tag

ANSWER_SECONDS = 5.0
MOST_PAGES = 20

DOCKER_HUB = "registry-1.docker.io"
_HUB_NAMES = ("docker.io", "index.docker.io", DOCKER_HUB)
_LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?")


async def remote_tags(image: str, seconds: float = ANSWER_SECONDS) -> list[str] | None:
    """Return the tags of an image (a name without one) in its registry, or ``None`` when it does not tell in time."""
    try:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
            return await _tags(http, tags_url(image))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        return None


def tags_url(image: str) -> str:
    """Return where the registry of an image lists its tags; without a host in its name that is Docker Hub."""
    host, slash, name = image.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, name = DOCKER_HUB, image
    if host in _HUB_NAMES:
        host, name = DOCKER_HUB, name if "/" in name else f"library/{name}"
    scheme = "http" if _LOCAL.fullmatch(host) else "https"
    return f"{scheme}://{host}/v2/{name}/tags/list"


async def _tags(http: aiohttp.ClientSession, url: str) -> list[str] | None:
    tags: list[str] = []
    headers: dict[str, str] = {}
    page, first = url, URL(url)
    for _ in range(MOST_PAGES):
        async with http.get(page, headers=headers) as answer:
            if answer.status == 401 and not headers:
                headers = {"Authorization": f"Bearer {await _token(http, answer.headers)}"}
                continue
            if answer.status != 200:
                return None
            found = (await answer.json(content_type=None))["tags"] or ()
            tags += [tag for tag in map(str, found) if is_tag(tag)]  # the rest might be for the terminal
            links = answer.links
        if "next" not in links:
            return tags
        following = links["next"]["url"]
        page = urljoin(page, str(following))
        if URL(page).origin() != first.origin():  # the token is for this registry
            return None
    return tags


async def _token(http: aiohttp.ClientSession, headers: Mapping[str, str]) -> str:
    """Ask for the token that everybody gets, where the registry says that it is to be had."""
    kind, _, said = headers["WWW-Authenticate"].partition(" ")
    if kind.lower() != "bearer":
        raise ValueError(kind)
    asked: dict[str, Any] = parse_keqv_list(parse_http_list(said))
    params: dict[str, str] = {name: asked[name] for name in ("service", "scope") if name in asked}
    async with http.get(asked["realm"], params=params, raise_for_status=True) as answer:
        found = await answer.json(content_type=None)
    return str(found.get("token") or found["access_token"])
