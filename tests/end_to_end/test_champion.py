"""The champion on an MLflow server, loaded by a program with only MLflow and the model's requirements."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from endless_voice import RATE, endless_voice
from servers import free_port

from smart_tuner.mlflow_mirror.mirror import MlflowMirror
from smart_tuner.mlflow_mirror.run_lookup import connect
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from trainer import voice_format
from trainer.protocol import RunDir

pytestmark = pytest.mark.slow

# The trainer must be imported from the model's own copy, even if it is also installed.
PROGRAM = """
import sys
from pathlib import Path
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/quickstart@champion", dst_path=sys.argv[2])
Path(sys.argv[3]).write_bytes(model.predict(["Hello."])[0])
code = (Path(sys.argv[2]) / "code").resolve()
ours = [m for name, m in sys.modules.items() if name.partition(".")[0] in ("trainer", "smart_tuner") and m.__file__]
assert ours and all(Path(m.__file__).is_relative_to(code) for m in ours), ours
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
# MLflow starts uvicorn by its name, without a path.
ENVIRONMENT["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@contextmanager
def running(argv: list[str], health: str, log: Path) -> Iterator[None]:
    with log.open("ab") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file, start_new_session=True, env=ENVIRONMENT, cwd="/")
    try:
        deadline = time.monotonic() + 120
        while not _answers(health):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{health} did not answer"
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def test_a_program_with_mlflow_alone_loads_and_serves_the_champion(tmp_path: Path) -> None:
    port, serving = free_port(), free_port()
    connect(f"sqlite:///{tmp_path / 'server.db'}")
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    server += ["--artifacts-destination", str(tmp_path / "kept")]
    uri = f"http://127.0.0.1:{port}"
    with running(server, f"{uri}/health", tmp_path / "server.log"):
        study = optuna.create_study(study_name="quickstart")
        _finish(study, tmp_path)
        for _ in range(2):
            MlflowMirror(MirrorSettings(uri, tmp_path), study, lambda study: [study.best_trial]).sync_study()
        assert len(connect(uri).search_model_versions("name = 'quickstart'")) == 1

        wav = tmp_path / "hello.wav"
        program = [sys.executable, "-c", PROGRAM, uri, str(tmp_path / "downloaded"), str(wav)]
        (tmp_path / "downloaded").mkdir()
        loaded = subprocess.run(program, env=ENVIRONMENT, cwd="/", capture_output=True, text=True)
        assert loaded.returncode == 0, loaded.stderr
        with wave.open(str(wav)) as sound:
            assert sound.getnframes() > sound.getframerate() == RATE

        serve = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tmp_path / "downloaded")]
        serve += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(serving)]
        with running(serve, f"http://127.0.0.1:{serving}/ping", tmp_path / "serving.log"):
            body = json.dumps({"inputs": ["Hello."]}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{serving}/invocations", body)
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, timeout=60) as answer:
                (served,) = json.load(answer)["predictions"]
    with wave.open(io.BytesIO(base64.b64decode(served))) as sound:
        assert sound.getframerate() == RATE
    assert base64.b64decode(served) == wav.read_bytes()


def _finish(study: optuna.Study, workspace: Path) -> None:
    trial = study.ask()
    trial.set_user_attr("run_dir", "runs/0")
    trial.set_user_attr("feasible", True)
    record = RunDir(workspace / "runs" / "0")
    record.create()
    voice_format.save(record.best_checkpoint, endless_voice())
    study.tell(trial, 3.0)
