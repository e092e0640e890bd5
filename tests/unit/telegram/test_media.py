"""Lists of media links to Bot API calls (defect D41)."""

from typing import Any

import pytest

from app.telegram.encode import Request
from app.telegram.media import File, MediaCall, files_of, first_call, kind_by_content_type, kind_by_name, rest


def params(*urls: str, kind: str = "photo", **more: str) -> dict[str, Any]:
    return {"chat_id": 7, "kind": kind, "media": list(urls), **more}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://x.org/a.png", "photo"),
        ("https://x.org/a.JPG?size=3", "photo"),
        ("https://x.org/film.mp4#t=1", "video"),
        ("https://x.org/cat.gif", "animation"),
        ("https://x.org/song.mp3", "audio"),
        ("https://x.org/book.pdf", "document"),
        ("https://drive.usercontent.google.com/download?id=abc.mp4", None),
        ("https://x.org/", None),
        ("https://[broken", None),
    ],
)
def test_kind_by_name(url: str, kind: str | None) -> None:
    assert kind_by_name(url) == kind


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/jpeg", "photo"),
        ("image/gif", "animation"),
        ("video/mp4", "video"),
        ("AUDIO/mpeg", "audio"),
        ("application/pdf", "document"),
        ("text/html", None),
        ("", None),
    ],
)
def test_kind_by_content_type(content_type: str, kind: str | None) -> None:
    assert kind_by_content_type(content_type) == kind


def test_one_photo() -> None:
    call = first_call(params("https://x/a", caption="c", parse_mode="HTML"), {})
    request = Request("sendPhoto", {"chat_id": 7, "photo": "https://x/a", "caption": "c", "parse_mode": "HTML"})
    assert call == MediaCall(request, ("https://x/a",))


def test_d41_a_known_file_is_sent_by_its_id_and_as_what_it_is() -> None:
    call = first_call(params("https://x/a"), {"https://x/a": File("video", "V1")})
    assert call.request == Request("sendVideo", {"chat_id": 7, "video": "V1"})


def test_d41_more_than_ten_are_sent_in_groups_and_the_caption_once() -> None:
    urls = [f"https://x/{number}.png" for number in range(23)]
    left: dict[str, Any] | None = params(*urls, caption="c")
    sizes, captions = [], []
    while left is not None:
        call = first_call(left, {})
        assert call.request.method == "sendMediaGroup"
        sizes.append(len(call.request.params["media"]))
        captions.append([item.get("caption") for item in call.request.params["media"]])
        left = rest(left, len(call.urls))
    assert sizes == [10, 10, 3]
    assert captions[0] == ["c"] + [None] * 9
    assert captions[1:] == [[None] * 10, [None] * 3]


def test_d41_kinds_that_may_not_mix_go_apart() -> None:
    urls = [
        "https://x/a.png",
        "https://x/b.mp4",
        "https://x/c.gif",
        "https://x/d.pdf",
        "https://x/e.pdf",
        "https://x/f.mp3",
    ]
    left: dict[str, Any] | None = params(*urls)
    methods = []
    while left is not None:
        call = first_call(left, {})
        methods.append((call.request.method, call.urls))
        left = rest(left, len(call.urls))
    assert methods == [
        ("sendMediaGroup", tuple(urls[:2])),
        ("sendAnimation", (urls[2],)),
        ("sendMediaGroup", tuple(urls[3:5])),
        ("sendAudio", (urls[5],)),
    ]


@pytest.mark.parametrize(
    ("result", "files"),
    [
        ({"photo": [{"file_id": "small"}, {"file_id": "big"}]}, {"u": File("photo", "big")}),
        ([{"video": {"file_id": "v"}}], {"u": File("video", "v")}),
        ({"animation": {"file_id": "a"}, "document": {"file_id": "d"}}, {"u": File("animation", "a")}),
        ({"text": "x"}, {}),
        ({"photo": []}, {}),
        (None, {}),
    ],
)
def test_files_of(result: object, files: dict[str, File]) -> None:
    assert files_of(MediaCall(Request("x", {}), ("u",)), result) == files
