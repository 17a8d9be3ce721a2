"""Faults at random moments of studies that many workers share: nothing is lost, nothing is counted twice.

`pytest -m faults` prints its seed and a table; FAULTS_SEED=... repeats a campaign, `-k` one round of it, and
FAULTS_REPORT=FILE keeps the table.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import strikes
from arena import Arena
from campaign import Fault, Tally, fight
from servers import PostgresServer
from strikes import Field, small_disk

DISK = 40  # megabytes
QUIET = 5 / 60  # minutes that a trainer may be silent, in rounds without outages


@dataclass(frozen=True)
class Round:
    """machines: of its workers, one letter each. on_disk: its workspace is a file system of its own."""

    faults: tuple[tuple[Fault, int], ...]
    store: str
    machines: str = "aa"
    on_disk: bool = False
    silent_minutes: float = 60


ROUNDS = {
    "sqlite-kills": Round(
        (
            (strikes.kill_trainer, 3),
            (strikes.kill_worker, 2),
            (strikes.kill_both, 2),
            (strikes.spoil_checkpoint, 1),
        ),
        "SQLite",
    ),
    "sqlite-people": Round(
        (
            (strikes.stop_now, 2),
            (strikes.terminate_worker, 2),
            (strikes.interrupt_worker, 2),
            (strikes.be_deaf, 2),
        ),
        "SQLite",
    ),
    "sqlite-disk": Round(
        (
            (strikes.fill_disk, 2),
            (strikes.make_read_only, 2),
            (strikes.kill_trainer, 1),
            (strikes.kill_worker, 1),
            (strikes.kill_both, 1),
        ),
        "SQLite",
        on_disk=True,
    ),
    "sqlite-files": Round(
        (
            (strikes.cut_record, 3),
            (strikes.spoil_checkpoint, 3),
            (strikes.write_garbage, 1),
            (strikes.flood, 1),
            (strikes.stop_trainer, 2),
        ),
        "SQLite",
        silent_minutes=QUIET,
    ),
    "sqlite-clock": Round(
        (
            (strikes.jump, 2),
            (strikes.lack_memory, 2),
            (strikes.kill_worker, 1),
            (strikes.kill_three_times, 1),
            (strikes.write_garbage, 1),
        ),
        "SQLite",
    ),
    "postgres-away": Round(
        (
            (strikes.kill_postgres, 3),
            (strikes.kill_trainer, 1),
            (strikes.kill_both, 1),
            (strikes.jump, 2),
        ),
        "PostgreSQL",
        machines="abc",
    ),
    "postgres-frozen": Round(
        (
            (strikes.stop_worker, 3),
            (strikes.kill_worker, 1),
            (strikes.interrupt_worker, 1),
        ),
        "PostgreSQL",
        machines="ab",
    ),
    "postgres-people": Round(
        (
            (strikes.stop_worker, 2),
            (strikes.kill_postgres, 1),
            (strikes.terminate_worker, 1),
            (strikes.stop_now, 1),
            (strikes.be_deaf, 1),
        ),
        "PostgreSQL",
        machines="abb",
    ),
    "postgres-disk": Round(
        (
            (strikes.fill_disk, 2),
            (strikes.make_read_only, 1),
            (strikes.kill_postgres, 1),
            (strikes.kill_trainer, 1),
            (strikes.lack_memory, 1),
        ),
        "PostgreSQL",
        on_disk=True,
    ),
    "postgres-files": Round(
        (
            (strikes.cut_record, 1),
            (strikes.spoil_checkpoint, 2),
            (strikes.stop_trainer, 2),
            (strikes.flood, 1),
            (strikes.write_garbage, 2),
            (strikes.kill_three_times, 1),
        ),
        "PostgreSQL",
        silent_minutes=QUIET,
    ),
}


@pytest.fixture(params=list(ROUNDS))
def ground(
    request: pytest.FixtureRequest, tally: Tally, shim: Path | None, tmp_path: Path
) -> Iterator[tuple[str, Round, Field]]:
    name: str = request.param
    told = ROUNDS[name]
    server: PostgresServer | None = None
    url = None
    if told.store == "PostgreSQL":
        server = request.getfixturevalue("postgresql_server")
        database = f"f{uuid4().hex[:12]}"
        server.execute(f"CREATE DATABASE {database}")
        url = server.url(database)
    study: dict[str, Any] = {"limits": {"silent_minutes": told.silent_minutes}}
    rng = random.Random(f"{tally.seed} {name}")
    if not told.on_disk:
        with Arena(tmp_path, url, told.machines, shim, study) as arena:
            yield name, told, Field(arena, rng, server)
        return
    try:
        with (
            small_disk(tmp_path / "disk", DISK) as disk,
            Arena(tmp_path, url, told.machines, shim, study, workspace=disk / "work space") as arena,
        ):
            yield name, told, Field(arena, rng, server, disk)
    except OSError as error:
        tally.skipped.append(f"round {name}: {error}")
        pytest.skip(str(error))


@pytest.mark.faults
def test_whatever_strikes_a_study_comes_to_its_end(ground: tuple[str, Round, Field], tally: Tally) -> None:
    name, told, field = ground
    faults = [fault for fault, times in told.faults for _ in range(times)]
    if field.arena.shim is None:
        faults = [fault for fault in faults if fault is not strikes.jump]
    fight(field, faults, tally, told.store, name)
