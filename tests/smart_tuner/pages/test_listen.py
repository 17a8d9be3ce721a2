"""The audition: which voices it has, and the server that accepts ratings."""

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
from finished_study import HUM, SENTENCE, UNALIGNED, WAV, FinishedStudy

from smart_tuner.artifacts import ArtifactKind
from smart_tuner.cli.app import main
from smart_tuner.errors import UserError
from smart_tuner.pages.audition import audition
from smart_tuner.pages.audition_server import AuditionServer
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.listen import open_server, serve_audition
from smart_tuner.pages.page_files import write_audition
from smart_tuner.pages.ratings import ratings
from smart_tuner.pages.report_text import next_steps
from smart_tuner.store.storage import open_storage
from trainer.protocol import EventWriter


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedStudy:
    """Best first: 2, 0, 1 (of another machine) and 4 (does not align)."""
    finished = FinishedStudy(tmp_path_factory.mktemp("study"))
    finished.complete(2.0)
    finished.complete(2.5, here=False)
    finished.complete(1.5, lr=1e-3, spoken=HUM)
    finished.pruned(UNALIGNED)
    finished.complete(1.0, alignment=0.3)
    return finished


@pytest.fixture(scope="module")
def server(finished: FinishedStudy) -> Iterator[AuditionServer]:
    with open_server(finished.study, finished.workspace, 4, 0) as server:
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
    """Send a rating as the page does, except for `changes` of the token and the headers."""
    token = changes.pop("token", server.token)
    headers = {"Origin": server.url.rstrip("/")} | changes
    return ask(server, "POST", "/rating", {"token": token, "trial": trial, "stars": stars}, headers)


def test_the_best_trials_with_sound_are_side_by_side(finished: FinishedStudy) -> None:
    found = audition(facts_of(finished.study, finished.workspace), top=4)
    assert [voice.trial for voice in found.voices] == [2, 0, 4]
    assert [voice.rank for voice in found.voices] == ["best", "place 2", "not feasible"]
    assert [voice.heard for voice in found.voices] == ["aligned, but a hum", "not measured", "not measured"]
    assert list(found.silent) == [1]
    for voice in found.voices:
        assert [spoken.text for spoken in voice.sentences] == [SENTENCE]
        assert voice.sentences[0].sound == f"data:audio/wav;base64,{base64.b64encode(WAV).decode()}"
        assert [(name, differs) for name, _, differs in voice.params] == [
            ("optimizer.lr", True),
            ("guided_attention.enabled", False),
        ]
    assert [v.trial for v in audition(facts_of(finished.study, finished.workspace), top=1).voices] == [2]


def test_a_voice_has_its_place_among_all_trials_although_a_better_one_has_no_sound(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    finished.complete(1.0, here=False)
    finished.complete(2.0)
    found = audition(facts_of(finished.study, finished.workspace), top=4)
    assert [(voice.trial, voice.rank) for voice in found.voices] == [(1, "place 2")]


def test_a_rating_is_stored_in_the_study_and_shown_again(server: AuditionServer, finished: FinishedStudy) -> None:
    assert rating(server, 2, 5) == (200, "{}")
    assert rating(server, 0, 3)[0] == 200
    assert ratings(finished.study) == {2: 5, 0: 3}
    assert re.search(r'data-trial="2" data-stars="5"', ask(server, "GET", "/")[1])
    assert rating(server, 0, None)[0] == 200
    assert ratings(finished.study) == {2: 5}


def test_ratings_at_the_same_moment_are_all_stored(server: AuditionServer, finished: FinishedStudy) -> None:
    with ThreadPoolExecutor(5) as people:
        answers = list(people.map(lambda trial: rating(server, trial, trial + 1), range(5)))
    assert [status for status, _ in answers] == [200] * 5
    assert ratings(finished.study) == {trial: trial + 1 for trial in range(5)}


@pytest.mark.parametrize(
    ("trial", "stars", "reason"),
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
def test_an_invalid_rating_is_refused(
    server: AuditionServer, finished: FinishedStudy, trial: Any, stars: Any, reason: str
) -> None:
    before = ratings(finished.study)
    status, answer = rating(server, trial, stars)
    assert status == 400
    assert reason in answer
    assert ratings(finished.study) == before


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
def test_no_other_page_can_rate(server: AuditionServer, finished: FinishedStudy, changes: dict[str, Any]) -> None:
    before = ratings(finished.study)
    assert rating(server, 2, 1, **changes)[0] == 403
    assert ratings(finished.study) == before


def test_a_request_with_another_host_name_is_refused(server: AuditionServer) -> None:
    status, answer = ask(server, "GET", "/", headers={"Host": f"evil.example:{server.server_port}"})
    assert status == 403
    assert server.token not in answer
    assert ask(server, "GET", "/", headers={"Host": f"localhost:{server.server_port}"})[0] == 200


@pytest.mark.parametrize(
    "path", ["/../studies.db", "/studies.db", "//etc/passwd", "/%2e%2e/studies.db", "/runs/lab/trial-0000/config.json"]
)
def test_no_request_can_name_a_file(server: AuditionServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"[" * 900, b"\xff", b"x" * 5000])
def test_a_body_that_is_no_json_object_is_refused(server: AuditionServer, body: bytes) -> None:
    assert ask(server, "POST", "/rating", body, {"Origin": server.url.rstrip("/")})[0] == 400


def leave_at_once(server: AuditionServer) -> None:
    """Act as a browser that is closed while it reads; then close the server and wait for its threads."""
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


def test_a_browser_that_closes_its_connection_is_not_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    leave_at_once(AuditionServer(0, lambda token: "x" * 50_000_000, lambda trial, stars: None))
    assert capsys.readouterr().err == ""
    assert caplog.messages == []


def test_an_unforeseen_error_is_logged_as_one_line_without_passwords(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def page(token: str) -> str:
        raise RuntimeError("postgresql://me:hunter2@host is down\nand more")

    leave_at_once(AuditionServer(0, page, lambda trial, stars: None))
    assert capsys.readouterr().err == ""
    assert caplog.messages == ["a request was not answered: RuntimeError: postgresql://me:***@host is down"]


def test_a_deleted_study_is_reported_as_not_found(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    finished.complete(1.0)
    with open_server(finished.study, finished.workspace, 4, 0) as server, ThreadPoolExecutor(1) as serving:
        serving.submit(server.serve_forever, 0.01)
        optuna.delete_study(study_name="lab", storage=open_storage(finished.url))
        try:
            answers = ask(server, "GET", "/"), rating(server, 0, 5)
        finally:
            server.shutdown()
    assert answers == ((404, "the study was deleted"),) * 2


def test_the_page_retries_an_unavailable_store_for_a_short_time(
    finished: FinishedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("smart_tuner.pages.listen.serve_audition", lambda *given, **named: served.append(given[0]))
    monkeypatch.setattr(
        sys, "argv", ["smart-tuner", "listen", "--study", "lab", "--workspace", str(finished.workspace)]
    )
    with pytest.raises(SystemExit):
        main()
    assert served[0]._storage._backend.retry_seconds == 5


def test_with_a_read_only_store_the_page_accepts_no_stars(finished: FinishedStudy) -> None:
    with open_server(finished.study, finished.workspace, 4, 0, rates=False) as server:
        assert "data-token" not in server.page(server.token)


def test_a_taken_port_is_named(server: AuditionServer, finished: FinishedStudy) -> None:
    with pytest.raises(UserError, match=f"port {server.server_port}: cannot be used.*--port"):
        open_server(finished.study, finished.workspace, 4, server.server_port)


def test_instead_of_a_taken_port_the_next_free_one_is_used_and_named(
    server: AuditionServer, finished: FinishedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(server: AuditionServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AuditionServer, "serve_forever", interrupted)
    notices: list[str] = []
    taken = server.server_port
    serve_audition(finished.study, finished.workspace, 4, taken, notices.append, opened=False)
    first, second = notices
    port = int(second.partition("127.0.0.1:")[2].partition("/")[0])
    assert port > taken
    assert re.fullmatch(rf"Port {taken} is taken \(by .*, process \d+\); the page is at {port}\.", first)


def test_the_page_as_a_file_takes_no_ratings_and_needs_no_network(finished: FinishedStudy, tmp_path: Path) -> None:
    text = write_audition(finished.study, finished.workspace, tmp_path / "a" / "listen.html", 4).read_text("utf-8")
    assert '<input class="unseen" type="radio"' not in text
    assert "data-token" not in text
    assert "connect-src 'none'" in html.unescape(text)
    assert all(reference.startswith("data:") for reference in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "the driver noticed a &lt;b&gt;rope&lt;/b&gt;" in text
    assert "Left out, since their sounds are not on this machine: trial 1." in text


def test_the_page_of_a_study_without_sound_says_why(tmp_path: Path) -> None:
    finished = FinishedStudy(tmp_path)
    writer = EventWriter(finished.run_dir(finished.pruned(UNALIGNED)).events)
    finished.show(0, writer, "samples/s.wav", "sample", WAV)
    writer.close()
    text = write_audition(finished.study, finished.workspace, tmp_path / "listen.html", 4).read_text("utf-8")
    assert "No complete trial of this study can be heard on this machine." in text
    facts = facts_of(finished.study, finished.workspace)
    assert facts.trials[0].newest(ArtifactKind.SAMPLE)
    assert not any("listen" in command for _, command in next_steps(facts))
