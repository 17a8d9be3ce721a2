"""Whether the process that a record means is still there."""

import subprocess
import sys

import psutil
import pytest
from waiting import wait_until

from smart_tuner.machine.process_identity import ProcessIdentity


def test_a_process_is_alive_until_it_is_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    identity = ProcessIdentity.of(process.pid)
    assert identity.is_here()
    assert identity.is_alive()
    assert not identity.is_this_process()
    assert process.stdin is not None
    print(file=process.stdin, flush=True)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert not identity.is_alive()
    process.communicate()
    assert not identity.is_alive()
    with pytest.raises(psutil.NoSuchProcess):
        ProcessIdentity.of(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a zombie may have threads")
def test_a_zombie_with_a_thread_that_is_still_there_is_alive() -> None:
    """As a trainer that was killed while one of its threads waits for a disk."""
    program = "import ctypes, threading; threading.Thread(target=input).start(); ctypes.CDLL(None).pthread_exit(None)"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert ProcessIdentity.of(process.pid).is_alive()
    process.communicate("\n")
