"""What a process that reads a stranger's file may still do, and a test that it can do no more.

Three layers of Linux, each without privileges and none to be undone: limits of resources
(setrlimit), of files (Landlock: one folder to write, the installed programs to read; also no TCP
and no signals to others where the kernel knows them) and of system calls (seccomp: no network, no
other programs or processes, no changed rights). Where the kernel lacks one, `leaks` finds what that
lets through, and formats that run code by design stay closed.

Numbers and structures: linux/landlock.h, linux/seccomp.h, linux/filter.h, asm/unistd.h.
"""

import ctypes
import errno
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ABOVE = (PROJECT, *PROJECT.parents)

PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1  # flag of landlock_create_ruleset
PATH_BENEATH = 1  # kind of rule
# Rights on files by the version that brought them: (version, all rights up to it).
FILE_RIGHTS = ((1, 2**13 - 1), (2, 2**14 - 1), (3, 2**15 - 1), (5, 2**16 - 1))
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1, 2, 4, 8, 2**14
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # the rights that make sense on one file
READ_ONLY = EXECUTE | READ_FILE | READ_DIR
TCP_RIGHTS, TCP_VERSION = 0b11, 4  # bind and connect
SCOPES, SCOPES_VERSION = 0b11, 6  # abstract sockets and signals

SET_FILTER, ON_ALL_THREADS = 1, 1
LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06  # instructions
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # the latter plus an errno
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
CLONE_THREAD = 0x10000
OTHER_ABI = 0x40000000  # x32 numbers start here

# Refused system calls, by machine; None where it has no such call.
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    # network
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    # programs, processes and their memory
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "setrlimit": (160, 164), "personality": (135, 92),
    # rights of files, which Landlock leaves open
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "mknod": (133, None),
    "mknodat": (259, 33), "open_by_handle_at": (304, 265),
    # the system as a whole
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "unshare": (272, 97),
    "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "sethostname": (170, 161), "iopl": (172, None),
    "ioperm": (173, None), "quotactl": (179, 60),
}  # fmt: skip
CLONE, CLONE3, TGKILL, PRLIMIT, SECCOMP = (56, 220), (435, 435), (234, 131), (302, 261), (317, 277)

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


MEMORY = "EXPLORER_JOB_MEMORY_GB"  # environment variable: the most memory of one process
LEAST_MEMORY, MOST_MEMORY = 3 * 2**30, 8 * 2**30


@dataclass(frozen=True)
class Limits:
    """What a process may use; memory is counted in addresses, more of which are given than used."""

    memory_bytes: int = MOST_MEMORY
    file_bytes: int = 2**30
    open_files: int = 256


def limits_here() -> Limits:
    """What fits this machine, or what its environment says."""
    said = os.environ.get(MEMORY)
    if said:
        return Limits(memory_bytes=int(float(said) * 2**30))
    all_there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(memory_bytes=max(LEAST_MEMORY, min(MOST_MEMORY, all_there_is * 3 // 4)))


def limit(limits: Limits) -> None:
    """Bound this process's resources for good."""
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


def confine(writable: Iterable[Path], readable: Iterable[Path] = ()) -> None:
    """Leave this process these folders and the installed programs, and no way out.

    To be called while it has one thread. A layer that this system lacks is left out and not raised:
    `leaks` finds what that lets through.
    """
    _no_new_privileges()
    with suppress(OSError):  # the kernel has no Landlock
        _confine_files(list(writable), [*installed(), *readable])
    with suppress(OSError, KeyError):  # the kernel or processor has no seccomp filter
        _confine_calls()


def installed() -> tuple[Path, ...]:
    """What programs need to read: libraries, this project, and what the machine says of itself."""
    system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null"]
    system += ["/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg"]
    system += ["/proc/stat", "/sys/devices/system/cpu"]
    python = [path for path in (sys.prefix, sys.base_prefix, *sys.path) if path]
    own = [PROJECT / name for name in ("explorer", "sample_models")]
    found = {Path(path).resolve() for path in (*system, *python)} | {Path("/proc/self"), *own}
    # A folder above the project, as on sys.path, would let in its secrets and the visitors' files.
    return tuple(sorted(each for each in found if each.exists() and each not in ABOVE))


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _no_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")


def _confine_files(writable: list[Path], readable: list[Path]) -> None:
    version = _call(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    rights = max(mask for since, mask in FILE_RIGHTS if since <= version)
    attributes = struct.pack(
        "=QQQ",
        rights,
        TCP_RIGHTS if version >= TCP_VERSION else 0,
        SCOPES if version >= SCOPES_VERSION else 0,
    )
    size = 24 if version >= SCOPES_VERSION else 16 if version >= TCP_VERSION else 8
    buffer = ctypes.create_string_buffer(attributes)
    rules = _call(LANDLOCK_CREATE_RULESET, buffer, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow(rules, path, READ_ONLY)
        for path in writable:
            _allow(rules, path, rights & ~EXECUTE)
        _call(LANDLOCK_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= ON_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle))
        _call(
            LANDLOCK_ADD_RULE,
            ctypes.c_int(rules),
            ctypes.c_int(PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        )
    finally:
        os.close(handle)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _confine_calls() -> None:
    column = list(MACHINES).index(platform.machine()) if platform.machine() in MACHINES else -1
    if column < 0:
        raise KeyError(platform.machine())
    lines = _filter(column, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = _Program(len(lines), ctypes.addressof(code))
    _call(
        SECCOMP[column],
        ctypes.c_uint(SET_FILTER),
        ctypes.c_uint(ON_ALL_THREADS),
        ctypes.byref(program),
    )


def _filter(column: int, pid: int) -> list[Instruction]:
    """The program that the kernel asks at every system call."""
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 1, 0, list(MACHINES.values())[column]),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 0, 1, OTHER_ABI),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    # Threads are started by clone with a flag that can be looked at; clone3 hides it in memory.
    lines += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    lines += _only_where(CLONE[column], 0, (ANY_BIT, CLONE_THREAD))
    lines += _only_where(TGKILL[column], 0, (EQUAL, pid))
    lines += _only_where(PRLIMIT[column], 2, (EQUAL, 0))  # reading limits, not setting them
    return [*lines, (RETURN, 0, 0, ALLOW)]


def _only_where(number: int, argument: int, condition: tuple[int, int]) -> list[Instruction]:
    """Refuse a call unless the condition holds for its argument's lower half.

    A pointer of which only the lower half is zero is refused too, as the upper half is compared
    with zero; flags and process ids have nothing there.
    """
    test, operand = condition
    at = ARGUMENTS_AT + 8 * argument
    return [
        (EQUAL, 0, 6, number),
        (LOAD, 0, 0, at + 4),
        (EQUAL, 0, 3, 0),
        (LOAD, 0, 0, at),
        (test, 0, 1, operand),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def leaks(inside: Path) -> tuple[str, ...]:
    """What this process can do although it is confined to the folder `inside`; ideally nothing.

    Each is tried for real: reading and writing elsewhere, the network, signals, programs, a huge
    file. The result is cached for the process, as its confinement can't be undone.
    """
    return _found_leaks(os.getpid(), inside)


@cache
def _found_leaks(_pid: int, inside: Path) -> tuple[str, ...]:
    trials: dict[str, Callable[[], object]] = {
        "write outside their folder": lambda: _write(inside.parent / f"{inside.name}.leak"),
        "read system files": lambda: Path("/etc/passwd").read_bytes(),
        "see other processes": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "open a connection": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1).close(),
        "send packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "signal other processes": lambda: os.kill(os.getppid(), 0),
        "start programs": lambda: subprocess.run(["true"], check=True),  # noqa: S607
        "write a file of any size": lambda: _write(inside / "leak", at=2**40),
    }
    return tuple(name for name, attempt in trials.items() if _works(attempt))


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except ConnectionRefusedError:
        return True  # it got as far as another process
    except OSError:
        return False
    return True


def _write(path: Path, at: int = 0) -> None:
    try:
        with path.open("wb") as file:
            file.seek(at)
            file.write(b"x")
    finally:
        path.unlink(missing_ok=True)
