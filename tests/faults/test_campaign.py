"""Faults at random moments, in studies that several workers share: no trial is lost, none is counted twice.

`pytest -m faults` prints its seed and a table; FAULTS_SEED=... repeats a campaign, `-k` one round of it, and
FAULTS_REPORT=FILE keeps the table.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import fault_injection
import pytest
from campaign import Fault, Tally, run_round
from deployment import Deployment
from fault_injection import Injector, small_disk
from servers import PostgresServer

DISK = 40  # megabytes
SILENT_MINUTES = 5 / 60  # that a trainer may be silent, in rounds without outages


@dataclass(frozen=True)
class Round:
    """machines: one letter for each worker, its machine. on_disk: the workspace is a separate, small file system.

    jobs: trials at once in each worker. pauses: trials pause at reports 2 and 4 of 12, and the best third goes on.
    """

    faults: tuple[tuple[Fault, int], ...]
    store: str
    machines: str = "aa"
    on_disk: bool = False
    silent_minutes: float = 60
    jobs: int = 2
    pauses: bool = False


ROUNDS = {
    "sqlite-kills": Round(
        (
            (fault_injection.kill_trainer, 3),
            (fault_injection.kill_worker, 2),
            (fault_injection.kill_both, 2),
            (fault_injection.damage_checkpoint, 1),
        ),
        "SQLite",
    ),
    "sqlite-people": Round(
        (
            (fault_injection.stop_now, 2),
            (fault_injection.terminate_worker, 2),
            (fault_injection.interrupt_worker, 2),
            (fault_injection.ignore_sigterm, 2),
        ),
        "SQLite",
    ),
    "sqlite-disk": Round(
        (
            (fault_injection.fill_disk, 2),
            (fault_injection.make_read_only, 2),
            (fault_injection.kill_trainer, 1),
            (fault_injection.kill_worker, 1),
            (fault_injection.kill_both, 1),
        ),
        "SQLite",
        on_disk=True,
    ),
    "sqlite-files": Round(
        (
            (fault_injection.cut_record, 3),
            (fault_injection.damage_checkpoint, 3),
            (fault_injection.write_garbage, 1),
            (fault_injection.flood_log, 1),
            (fault_injection.stop_trainer, 2),
        ),
        "SQLite",
        silent_minutes=SILENT_MINUTES,
    ),
    "sqlite-clock": Round(
        (
            (fault_injection.jump_clock, 2),
            (fault_injection.run_out_of_memory, 2),
            (fault_injection.kill_worker, 1),
            (fault_injection.kill_three_times, 1),
            (fault_injection.write_garbage, 1),
        ),
        "SQLite",
    ),
    "postgres-away": Round(
        (
            (fault_injection.kill_postgres, 3),
            (fault_injection.kill_trainer, 1),
            (fault_injection.kill_both, 1),
            (fault_injection.jump_clock, 2),
        ),
        "PostgreSQL",
        machines="abc",
    ),
    "postgres-frozen": Round(
        (
            (fault_injection.stop_worker, 3),
            (fault_injection.kill_worker, 1),
            (fault_injection.interrupt_worker, 1),
        ),
        "PostgreSQL",
        machines="ab",
    ),
    "postgres-people": Round(
        (
            (fault_injection.stop_worker, 2),
            (fault_injection.kill_postgres, 1),
            (fault_injection.terminate_worker, 1),
            (fault_injection.stop_now, 1),
            (fault_injection.ignore_sigterm, 1),
        ),
        "PostgreSQL",
        machines="abb",
    ),
    "postgres-disk": Round(
        (
            (fault_injection.fill_disk, 2),
            (fault_injection.make_read_only, 1),
            (fault_injection.kill_postgres, 1),
            (fault_injection.kill_trainer, 1),
            (fault_injection.run_out_of_memory, 1),
        ),
        "PostgreSQL",
        on_disk=True,
    ),
    "postgres-files": Round(
        (
            (fault_injection.cut_record, 1),
            (fault_injection.damage_checkpoint, 2),
            (fault_injection.stop_trainer, 2),
            (fault_injection.flood_log, 1),
            (fault_injection.write_garbage, 2),
            (fault_injection.kill_three_times, 1),
        ),
        "PostgreSQL",
        silent_minutes=SILENT_MINUTES,
    ),
    "sqlite-pausing-disk": Round(
        (
            (fault_injection.fill_disk, 3),
            (fault_injection.make_read_only, 2),
            (fault_injection.kill_both, 2),
        ),
        "SQLite",
        on_disk=True,
        pauses=True,
    ),
    "postgres-pausing": Round(
        (
            (fault_injection.kill_trainer, 16),
            (fault_injection.kill_worker, 8),
            (fault_injection.kill_both, 8),
            (fault_injection.kill_postgres, 6),
            (fault_injection.damage_checkpoint, 6),
            (fault_injection.terminate_worker, 4),
            (fault_injection.interrupt_worker, 4),
            (fault_injection.write_garbage, 4),
            (fault_injection.stop_worker, 2),
            (fault_injection.stop_now, 2),
        ),
        "PostgreSQL",
        machines="aaaabbbbccccdddd",
        jobs=1,
        pauses=True,
    ),
}
PAUSED_BYTES = 600  # of checkpoints of paused trials, in rounds in which trials pause: those of about six


@pytest.fixture(params=list(ROUNDS))
def injection_round(
    request: pytest.FixtureRequest, tally: Tally, shim: Path | None, tmp_path: Path
) -> Iterator[tuple[str, Round, Injector]]:
    name: str = request.param
    round_ = ROUNDS[name]
    server: PostgresServer | None = None
    url = None
    if round_.store == "PostgreSQL":
        server = request.getfixturevalue("postgresql_server")
        database = f"f{uuid4().hex[:12]}"
        server.execute(f"CREATE DATABASE {database}")
        url = server.url(database)
    limits = {"silent_minutes": round_.silent_minutes, "paused_gb": PAUSED_BYTES / 1e9}
    study: dict[str, Any] = {"limits": limits}
    if round_.pauses:
        study |= {"pruner": {"kind": "promotion"}, "trials": 2 * len(round_.machines) * round_.jobs}
    rng = random.Random(f"{tally.seed} {name}")
    if not round_.on_disk:
        with Deployment(tmp_path, url, round_.machines, shim, study, jobs=round_.jobs) as deployment:
            yield name, round_, Injector(deployment, rng, server)
        return
    try:
        with (
            small_disk(tmp_path / "disk", DISK) as disk,
            Deployment(
                tmp_path, url, round_.machines, shim, study, workspace=disk / "work space", jobs=round_.jobs
            ) as deployment,
        ):
            yield name, round_, Injector(deployment, rng, server, disk)
    except OSError as error:
        tally.skipped.append(f"round {name}: {error}")
        pytest.skip(str(error))


@pytest.mark.faults
def test_a_study_finishes_whatever_the_faults(injection_round: tuple[str, Round, Injector], tally: Tally) -> None:
    name, round_, injector = injection_round
    faults = [fault for fault, times in round_.faults for _ in range(times)]
    if injector.deployment.shim is None:
        faults = [fault for fault in faults if fault is not fault_injection.jump_clock]
    run_round(injector, faults, tally, round_.store, name)
