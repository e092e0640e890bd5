import pytest

from app.course.media import is_link, media_url

DOWNLOAD = "https://drive.usercontent.google.com/download?id=1_ab-C"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://drive.google.com/file/d/1_ab-C/view?usp=sharing", DOWNLOAD),
        ("https://drive.google.com/open?id=1_ab-C", DOWNLOAD),
        ("https://drive.google.com/uc?export=download&id=1_ab-C", DOWNLOAD),
        ("https://docs.google.com/file/d/1_ab-C/edit", DOWNLOAD),
        (DOWNLOAD, DOWNLOAD),
        (" https://drive.google.com/open?id=1_ab-C view the card ", DOWNLOAD),
        ("https://drive.google.com/drive/", "https://drive.google.com/drive/"),
        ("https://[", "https://["),
        ("asd", "asd"),
        (
            " https://example.org/chart?c={type: bar,\n  data: []} ",
            "https://example.org/chart?c={type:%20bar,%20data:%20[]}",
        ),
    ],
)
def test_media_url(url: str, expected: str) -> None:
    assert media_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/d/pic.png",
        "https://example.org/chart?grid=5",
        "https://drive.google.com.example.org/open?id=1",
        "https://example.org/drive.google.com/d/1",
    ],
)
def test_d41_links_of_other_hosts_stay_as_they_are(url: str) -> None:
    assert media_url(url) == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/a.png", True),
        ("http://localhost:8080/a", True),
        ("http", False),
        ("asd", False),
        ("", False),
        ("ftp://example.org/a", False),
        ("https://", False),
        ("https://[", False),
        ("javascript:alert(1)", False),
        ("\0https://example.org/a.png", False),
        ("\x1fhttps://example.org/a.png", False),
    ],
)
def test_is_link(url: str, expected: bool) -> None:
    assert is_link(url) is expected
