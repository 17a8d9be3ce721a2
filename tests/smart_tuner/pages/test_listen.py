"""The audition: which voices are heard, and the server that takes ratings."""

import base64
import html
import http.client
import json
import re
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import pytest
from gallery import SENTENCE, UNALIGNED, WAV, Gallery

from smart_tuner.artifacts import ArtifactKind
from smart_tuner.cli.app import main
from smart_tuner.errors import UserError
from smart_tuner.pages.audition import audition
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.ratings import ratings
from smart_tuner.pages.server import AuditionServer
from smart_tuner.pages.serving import open_server, serve_audition
from smart_tuner.pages.wording import next_steps
from smart_tuner.pages.writing import write_audition
from smart_tuner.store.storage import open_storage
from trainer.protocol import EventWriter


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Best first: 2, 0, 1, which ran elsewhere, and 4, which does not align."""
    gallery = Gallery(tmp_path_factory.mktemp("study"))
    gallery.complete(2.0)
    gallery.complete(2.5, here=False)
    gallery.complete(1.5, lr=1e-3)
    gallery.pruned(UNALIGNED)
    gallery.complete(1.0, alignment=0.3)
    return gallery


@pytest.fixture(scope="module")
def server(gallery: Gallery) -> Iterator[AuditionServer]:
    with open_server(gallery.study, gallery.workspace, 4, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: AuditionServer, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, None if body is None else content, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def rating(server: AuditionServer, trial: Any, stars: Any, **changes: Any) -> tuple[int, str]:
    """As the page sends it, but for `changes` of the token and the headers."""
    token = changes.pop("token", server.token)
    headers = {"Origin": server.url.rstrip("/")} | changes
    return ask(server, "POST", "/rating", {"token": token, "trial": trial, "stars": stars}, headers)


def test_the_best_that_can_be_heard_stand_side_by_side(gallery: Gallery) -> None:
    found = audition(facts_of(gallery.study, gallery.workspace), top=4)
    assert [voice.trial for voice in found.voices] == [2, 0, 4]
    assert [voice.rank for voice in found.voices] == ["best", "place 2", "does not align"]
    assert list(found.silent) == [1]
    for voice in found.voices:
        assert [spoken.text for spoken in voice.sentences] == [SENTENCE]
        assert voice.sentences[0].sound == f"data:audio/wav;base64,{base64.b64encode(WAV).decode()}"
        assert [(name, differs) for name, _, differs in voice.params] == [
            ("optimizer.lr", True),
            ("guided_attention.enabled", False),
        ]
    assert [v.trial for v in audition(facts_of(gallery.study, gallery.workspace), top=1).voices] == [2]


def test_a_voice_has_its_place_among_all_trials_where_a_better_one_cannot_be_heard(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.complete(1.0, here=False)
    gallery.complete(2.0)
    found = audition(facts_of(gallery.study, gallery.workspace), top=4)
    assert [(voice.trial, voice.rank) for voice in found.voices] == [(1, "place 2")]


def test_a_rating_is_kept_in_the_study_and_shown_again(server: AuditionServer, gallery: Gallery) -> None:
    assert rating(server, 2, 5) == (200, "{}")
    assert rating(server, 0, 3)[0] == 200
    assert ratings(gallery.study) == {2: 5, 0: 3}
    assert re.search(r'data-trial="2" data-stars="5"', ask(server, "GET", "/")[1])
    assert rating(server, 0, None)[0] == 200
    assert ratings(gallery.study) == {2: 5}


def test_people_who_rate_at_the_same_moment_lose_nothing_of_each_others(
    server: AuditionServer, gallery: Gallery
) -> None:
    with ThreadPoolExecutor(5) as people:
        answers = list(people.map(lambda trial: rating(server, trial, trial + 1), range(5)))
    assert [status for status, _ in answers] == [200] * 5
    assert ratings(gallery.study) == {trial: trial + 1 for trial in range(5)}


@pytest.mark.parametrize(
    ("trial", "stars", "words"),
    [
        (2, 6, "stars must be 1 to 5"),
        (2, 0, "stars must be 1 to 5"),
        (2, True, "stars must be 1 to 5"),
        (2, "5", "stars must be 1 to 5"),
        (99, 5, "no trial 99"),
        ("../2", 5, "no trial"),
        (None, 5, "no trial None"),
        ([2], 5, "no trial"),
    ],
)
def test_what_is_no_rating_is_refused(
    server: AuditionServer, gallery: Gallery, trial: Any, stars: Any, words: str
) -> None:
    before = ratings(gallery.study)
    status, said = rating(server, trial, stars)
    assert status == 400
    assert words in said
    assert ratings(gallery.study) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "guessed"},
        {"token": None},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
    ids=str,
)
def test_no_other_page_can_rate(server: AuditionServer, gallery: Gallery, changes: dict[str, Any]) -> None:
    before = ratings(gallery.study)
    assert rating(server, 2, 1, **changes)[0] == 403
    assert ratings(gallery.study) == before


def test_a_name_that_leads_here_from_elsewhere_is_told_nothing(server: AuditionServer) -> None:
    status, said = ask(server, "GET", "/", headers={"Host": f"evil.example:{server.server_port}"})
    assert status == 403
    assert server.token not in said
    assert ask(server, "GET", "/", headers={"Host": f"localhost:{server.server_port}"})[0] == 200


@pytest.mark.parametrize(
    "path", ["/../studies.db", "/studies.db", "//etc/passwd", "/%2e%2e/studies.db", "/runs/lab/trial-0000/config.json"]
)
def test_no_file_can_be_named(server: AuditionServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"[" * 900, b"\xff", b"x" * 5000])
def test_what_is_no_json_object_is_refused(server: AuditionServer, body: bytes) -> None:
    assert ask(server, "POST", "/rating", body, {"Origin": server.url.rstrip("/")})[0] == 400


def leave_at_once(server: AuditionServer) -> None:
    """As a browser that is closed while it reads; afterwards the server is closed, and its threads are over."""
    server.daemon_threads = False
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with server, socket.create_connection(("127.0.0.1", server.server_port)) as browser:
        browser.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
        browser.recv(1)
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        browser.close()
        server.shutdown()
        thread.join()


def test_a_browser_that_goes_away_is_no_line_in_the_terminal(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    leave_at_once(AuditionServer(0, lambda token: "x" * 50_000_000, lambda trial, stars: None))
    assert capsys.readouterr().err == ""
    assert caplog.messages == []


def test_what_nobody_foresaw_is_one_line_without_passwords(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def page(token: str) -> str:
        raise RuntimeError("postgresql://me:hunter2@host is away\nand more")

    leave_at_once(AuditionServer(0, page, lambda trial, stars: None))
    assert capsys.readouterr().err == ""
    assert caplog.messages == ["a request was not answered: RuntimeError: postgresql://me:***@host is away"]


def test_a_study_that_was_deleted_meanwhile_is_said_to_be(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.complete(1.0)
    with open_server(gallery.study, gallery.workspace, 4, 0) as server, ThreadPoolExecutor(1) as serving:
        serving.submit(server.serve_forever, 0.01)
        optuna.delete_study(study_name="lab", storage=open_storage(gallery.url))
        try:
            answers = ask(server, "GET", "/"), rating(server, 0, 5)
        finally:
            server.shutdown()
    assert answers == ((404, "the study was deleted"),) * 2


def test_the_page_does_not_wait_long_for_a_store_that_is_away(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("smart_tuner.pages.serving.serve_audition", lambda *given, **named: served.append(given[0]))
    monkeypatch.setattr(sys, "argv", ["smart-tuner", "listen", "--study", "lab", "--workspace", str(gallery.workspace)])
    with pytest.raises(SystemExit):
        main()
    assert served[0]._storage._backend.retry_seconds == 5


def test_where_the_store_cannot_be_written_to_the_page_takes_no_stars(gallery: Gallery) -> None:
    with open_server(gallery.study, gallery.workspace, 4, 0, rates=False) as server:
        assert "data-token" not in server.page(server.token)


def test_a_port_that_is_taken_is_named(server: AuditionServer, gallery: Gallery) -> None:
    with pytest.raises(UserError, match=f"port {server.server_port}: cannot be used.*--port"):
        open_server(gallery.study, gallery.workspace, 4, server.server_port)


def test_where_a_port_is_taken_the_next_free_one_is_used_and_named(
    server: AuditionServer, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(server: AuditionServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AuditionServer, "serve_forever", interrupted)
    said: list[str] = []
    taken = server.server_port
    serve_audition(gallery.study, gallery.workspace, 4, taken, said.append, opened=False)
    first, second = said
    port = int(second.partition("127.0.0.1:")[2].partition("/")[0])
    assert port > taken
    assert re.fullmatch(rf"Port {taken} is taken \(by .*, process \d+\); the page is at {port}\.", first)


def test_the_page_as_a_file_has_no_ratings_to_give_and_needs_no_network(gallery: Gallery, tmp_path: Path) -> None:
    text = write_audition(gallery.study, gallery.workspace, tmp_path / "a" / "listen.html", 4).read_text("utf-8")
    assert '<input class="unseen" type="radio"' not in text
    assert "data-token" not in text
    assert "connect-src 'none'" in html.unescape(text)
    assert all(reference.startswith("data:") for reference in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "the driver noticed a &lt;b&gt;rope&lt;/b&gt;" in text
    assert "Not among them, for their sounds are not on this machine: trial 1." in text


def test_a_study_that_cannot_be_heard_says_why(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    writer = EventWriter(gallery.run_dir(gallery.pruned(UNALIGNED)).events)
    gallery.show(0, writer, "samples/s.wav", "sample", WAV)
    writer.close()
    text = write_audition(gallery.study, gallery.workspace, tmp_path / "listen.html", 4).read_text("utf-8")
    assert "No complete trial of this study can be heard on this machine." in text
    facts = facts_of(gallery.study, gallery.workspace)
    assert facts.trials[0].newest(ArtifactKind.SAMPLE)
    assert not any("listen" in command for _, command in next_steps(facts))
