"""The workspace and its cache: whether they can be written, and how much the disks below them have left."""

import shutil
from pathlib import Path

import psutil

from smart_tuner.errors import SettingsError
from smart_tuner.workspace import Workspace
from trainer.findings import Finding, State

LEAST_FREE = 5e9  # bytes: the features of an hour of speech and the checkpoints of ten trials of preset full
FULL = 0.5e9  # bytes: one such trial, 28 million weights with two moments in last.pt and without in best.pt
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "fuse.sshfs", "glusterfs", "lustre", "ceph")


def check_workspace(root: Path) -> Finding:
    """Whether it can be written, or made where it does not exist; it is not made here."""
    try:
        Workspace(root).refuse_file()
    except SettingsError as error:
        mend = "give another folder with --workspace, or move the file away"
        return Finding("workspace", State.ERROR, str(error), mend)
    there = existing(root)
    if (obstacle := Workspace(there).obstacle()) is not None:
        what = "" if there == root else f"{root} cannot be made: "
        mend = "give another folder with --workspace, or fix its permissions"
        return Finding("workspace", State.ERROR, f"{what}{obstacle}.", mend)
    if there != root:
        return Finding("workspace", State.OK, f"{root} does not exist yet, and can be made.")
    return Finding("workspace", State.OK, f"{root} can be written.")


def check_disks(root: Path) -> list[Finding]:
    """One line for the workspace, and one for its cache where that is on another disk."""
    cache = Workspace(root).cache
    found = [_disk("disk", root)]
    if existing(cache).stat().st_dev != existing(root).stat().st_dev:
        found.append(_disk("cache's disk", cache))
    return found


def _disk(check: str, folder: Path) -> Finding:
    free = shutil.disk_usage(existing(folder)).free
    text = f"{free / 1e9:.1f} GB free for {folder}."
    if free >= LEAST_FREE:
        return Finding(check, State.OK, text)
    mend = "free some space, such as by `smart-tuner cache prune`, or give another disk with --workspace"
    if free >= FULL:
        return Finding(check, State.WARNING, f"{text} Features and checkpoints of a study may need more.", mend)
    return Finding(check, State.ERROR, f"{text} A trial of preset full alone keeps more in its checkpoints.", mend)


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    if folder.exists():
        return folder
    absolute = folder.absolute()
    return next(path for path in absolute.parents if path.exists())


def network_file_system(path: Path) -> str | None:
    """The kind of network file system on which a file is; None where it is on a disk, or that is not known."""
    there = existing(path).resolve()
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    kind = next((mounts[folder] for folder in (there, *there.parents) if folder in mounts), "")
    return kind if kind.lower() in NETWORK else None
