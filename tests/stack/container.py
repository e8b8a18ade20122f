"""Starts a program in a container: sets up its file system, drops all privileges, then executes it.

    container.py run   SPECIFICATION    in a new file system
    container.py enter SPECIFICATION    in the file system of a running container, given by its process id

The specification is JSON; engine.py creates it. This folder uses only the standard library.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# Folders of the host that dynamically linked programs need. Nothing else of the host is visible.
LIBRARIES = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"]
DEVICES = ["null", "zero", "full", "random", "urandom"]


def check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


def mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    arguments = [None if text is None else str(text).encode() for text in (source, target, kind, data)]
    check(LIBC.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3]), f"mount {target}")


def bind(source: str, target: Path, read_only: bool) -> None:
    """Creates the mount point as container engines do: a folder for a folder, otherwise an empty file."""
    if os.path.isdir(source):
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        # In a user namespace the flags of the original mount cannot be removed, so they are set again.
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | os.ST_NOEXEC)
        mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def build(root: Path, spec: dict) -> None:
    """Mounts the file system of the container, read-only where the composition says so."""
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for library in LIBRARIES:
        if os.path.islink(library):
            (root / library[1:]).symlink_to(os.readlink(library))
        elif os.path.isdir(library):
            bind(library, root / library[1:], True)
    for device in DEVICES:
        bind(f"/dev/{device}", root / "dev" / device, False)
    (root / "proc").mkdir()
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV)
    for path, text in spec["files"].items():
        place = root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for folder in spec["folders"]:
        (root / folder[1:]).mkdir(parents=True, exist_ok=True)
    # Parent folders first.
    for source, target, read_only in sorted(spec["binds"], key=lambda entry: entry[1].count("/")):
        bind(source, root / target[1:], read_only)
    for target, options in spec["tmpfs"].items():
        (root / target[1:]).mkdir(parents=True, exist_ok=True)
        mount("tmpfs", root / target[1:], "tmpfs", MS_NOSUID | MS_NODEV, options)
    if spec["read_only"]:
        mount("none", root, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def pivot_root(root: Path) -> None:
    os.chdir(root)
    check(LIBC.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    check(LIBC.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def drop_privileges(user: int, group: int, can_change_user: bool) -> None:
    """Applies cap_drop: ALL, no-new-privileges and the user."""
    for capability in range(64):
        if LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    if can_change_user:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no-new-privileges")


def execute(spec: dict) -> None:
    os.umask(0o022)
    os.chdir(spec["working_dir"])
    drop_privileges(spec["user"], spec["group"], spec["can_change_user"])
    os.execve(spec["command"][0], spec["command"], spec["environment"])


def main() -> None:
    what, spec = sys.argv[1], json.loads(sys.argv[2])
    if what == "run":
        check(LIBC.unshare(CLONE_NEWNS), "unshare")
        mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
        root = Path(spec["root"])
        build(root, spec)
        pivot_root(root)
    else:
        namespace = os.open(f"/proc/{spec['pid']}/ns/mnt", os.O_RDONLY)
        check(LIBC.setns(namespace, CLONE_NEWNS), "setns")
        os.close(namespace)
    execute(spec)


if __name__ == "__main__":
    main()
