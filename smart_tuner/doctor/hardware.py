"""Cores, memory and GPUs: how many trials run at once, and whether they have the memory that they need."""

from smart_tuner.config import Settings
from smart_tuner.errors import SettingsError
from smart_tuner.formatting import counted
from smart_tuner.machine.capacity import Demand, cpu_cores, machine_capacity, memory_estimate
from smart_tuner.machine.gpus import Card, count_gpus, free_memory, held_by_others, read_cards
from trainer.findings import Finding, State

PRESETS = ("tiny", "full")
_MANY = 1000  # trials, so that their number does not limit how many run at once


def check_cores(settings: Settings) -> Finding:
    """With the trials that would run at once here, as the settings have it."""
    cores = counted(cpu_cores(), "CPU core")
    try:
        capacities = {
            preset: machine_capacity(
                Demand(
                    preset,
                    _MANY,
                    None if settings.jobs == "auto" else settings.jobs,
                    settings.device,
                    settings.devices,
                    settings.trials_per_device,
                )
            )
            for preset in PRESETS
        }
    except SettingsError as error:
        mend = "correct this setting in config/local.yaml, or its variable that begins with SMART_TUNER_"
        return Finding("cores", State.ERROR, f"{cores}; {error}", mend)
    told = [f"preset {preset}: {capacity}" for preset, capacity in capacities.items()]
    if len(set(map(str, capacities.values()))) == 1:
        told = [str(capacities[PRESETS[0]])]
    return Finding("cores", State.OK, f"{cores}; {'; '.join(told)}.")


def check_memory() -> Finding:
    """Of the machine, which trials need that run on its CPU."""
    free = free_memory("cpu")
    assert free is not None
    needs = {preset: memory_estimate(preset) for preset in PRESETS}
    text = f"{_gigabytes(free)} free; a trial on the CPU is expected to hold {_listed(needs)}."
    if free < needs["tiny"]:
        mend = "close other programs: a single trial may be killed for lack of memory"
        return Finding("memory", State.WARNING, text, mend)
    if free < needs["full"]:
        mend = "for preset full on the CPU: shorter clips (`corpus.max_seconds`) or smaller batches"
        return Finding("memory", State.NOTE, text, mend)
    return Finding("memory", State.OK, text)


def check_gpus() -> list[Finding]:
    """What NVIDIA's driver reports; whether torch can use them is for the trainer to say."""
    count = count_gpus()
    if not count:
        text = "`nvidia-smi` reports no GPU: trials run on the CPU."
        return [Finding("GPUs", State.NOTE, text)]
    cards = read_cards()
    if len(cards) < count:
        text = f"`nvidia-smi` lists {counted(count, 'GPU')}, and says what memory {len(cards)} of them have."
        mend = "run `nvidia-smi` by hand; until it answers, trials do not wait for free memory"
        return [Finding("GPUs", State.WARNING, text, mend), *map(_card, cards, cards.values())]
    return [_card(device, card) for device, card in cards.items()]


def _card(device: str, card: Card) -> Finding:
    check = f"{device} memory"
    need = memory_estimate("tiny")
    text = f"{_gigabytes(card.free)} of {_gigabytes(card.total)} free"
    if card.free < need:
        mend = "stop what holds it, or leave this GPU out with `devices`"
        return Finding(check, State.WARNING, f"{text}; a trial of preset tiny may hold {_gigabytes(need)}.", mend)
    if others := held_by_others(device, card, ours=0):
        mend = "trials go to other GPUs first, and are slower beside these processes"
        return Finding(check, State.WARNING, f"{text}; {others}.", mend)
    return Finding(check, State.OK, f"{text}.")


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _listed(needs: dict[str, float]) -> str:
    return ", ".join(f"{_gigabytes(need)} of preset {preset}" for preset, need in needs.items())
