"""The campaign does not run by default, so this checks that its worker still finds the names that it replaces."""

import fault_worker
import pytest

from smart_tuner.machine.process_identity import ProcessIdentity


def test_it_finds_what_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_worker, "REPLACED", monkeypatch)
    fault_worker.shorten_timeouts(heartbeat=1, grace=4, watch=0.2)
    fault_worker.set_machine("rack 7")
    assert ProcessIdentity.of_this_process().host.startswith("rack 7 ")
