"""All checks in their order. What is slow says meanwhile what it does; no check can end the command."""

from collections.abc import Callable, Sequence

from rich.console import Console

from smart_tuner.config import Settings, settings_file
from smart_tuner.doctor.hardware import check_cores, check_gpus, check_memory
from smart_tuner.doctor.incomplete import cure_of, package_at_fault
from smart_tuner.doctor.places import check_disks, check_workspace
from smart_tuner.doctor.services import check_mlflow, check_notifications, check_ports, check_store
from smart_tuner.doctor.software import check_import_names, check_system
from smart_tuner.doctor.trainer_checks import trainer_findings
from smart_tuner.doctor.versions import check_packages, check_python
from smart_tuner.errors import SettingsError
from smart_tuner.machine.gpus import count_gpus
from smart_tuner.masking import masked
from smart_tuner.terminal.screen import waiting
from trainer.findings import Finding, State

Check = Callable[[], Finding | list[Finding]]


def examine(read_settings: Callable[[], Settings], console: Console) -> list[Finding]:
    """read_settings: raises SettingsError; then the checks that need them are left out. console: for progress."""
    found = [check_system(), check_python(), check_packages(), check_import_names()]
    settings: Settings | None = None
    try:
        settings = read_settings()
    except SettingsError as error:
        mend = "mend this first: workspace, store, MLflow and notifications are not checked without settings"
        found.append(Finding("settings", State.ERROR, str(error), mend))
    else:
        found.append(Finding("settings", State.OK, f"those of {settings_file()} and of SMART_TUNER_* variables."))
    for name, check in _checks(settings):
        with waiting(console, f"checking: {name}"):
            found += _carefully(name, check)
    wants_gpus = settings is None or settings.device != "cpu"
    return found + trainer_findings(count_gpus() if wants_gpus else 0, console)


def _checks(settings: Settings | None) -> Sequence[tuple[str, Check]]:
    always: list[tuple[str, Check]] = [("memory", check_memory), ("GPUs", check_gpus), ("ports", check_ports)]
    if settings is None:
        return always
    return [
        ("cores", lambda: check_cores(settings)),
        *always,
        ("workspace", lambda: check_workspace(settings.workspace)),
        ("disk", lambda: check_disks(settings.workspace)),
        ("store", lambda: check_store(settings)),
        ("MLflow", lambda: check_mlflow(settings)),
        ("notifications", lambda: check_notifications(settings)),
    ]


def _carefully(name: str, check: Check) -> list[Finding]:
    """A library that cannot be imported, or a file that cannot be read, is a finding."""
    try:
        found = check()
    except ImportError as error:
        text = f"a package cannot be imported ({error})."
        return [Finding(name, State.ERROR, text, cure_of(package_at_fault(error)))]
    except OSError as error:
        mend = "see that its disk or device answers, and that this user may read what is named"
        return [Finding(name, State.ERROR, f"cannot be checked ({masked(str(error))}).", mend)]
    return found if isinstance(found, list) else [found]
