"""Links to media files."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

GOOGLE_HOSTS = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}
_FILE_ID = re.compile(r"(?:id=|/d/|download\?id=)([\w-]+)")
_DOWNLOAD = "https://drive.usercontent.google.com/download?id="


def is_link(url: str) -> bool:
    """Tell whether Telegram could download from this: an http(s) URL with a host."""
    try:
        # urlsplit overlooks control characters before the scheme, which Telegram would not.
        return url.lower().startswith(("http://", "https://")) and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def media_url(url: str) -> str:
    """Return the link to download from: that of a file shared on Google Drive, otherwise the URL, spaces quoted."""
    url = re.sub(r"\s+", "%20", url.strip())
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return url
    found = _FILE_ID.search(url) if host in GOOGLE_HOSTS else None
    return _DOWNLOAD + found[1] if found else url
