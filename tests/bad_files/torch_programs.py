"""TorchScript and torch.export files: programs, which run what is in them when they are opened."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from functools import cache

import torch
from exporting import quiet
from torch import Tensor, nn

from bad_files.case import Case, Content, Places, Verdict

SHAPE = (1, 4)
REFUSED, OPENS = Verdict.REFUSED, Verdict.OPENS


class Linear(nn.Module):
    """What the programs are made from."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


def scripted(module: nn.Module) -> bytes:
    file = io.BytesIO()
    with quiet():
        torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


def changed(whole: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """A zip with members changed, or left out where the change gives None."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return file.getvalue()


@cache
def plain_script() -> bytes:
    return scripted(Linear())


class ReadsFile(nn.Module):
    """Gives the bytes of a file on the server."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, self.layer = path, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = torch.from_file(self.path, False, 16, dtype=torch.uint8)
        y: Tensor = self.layer(x) + found.float().mean()
        return y


class WritesFile(nn.Module):
    """Makes files outside its folder when it runs."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self.paths: list[str] = paths
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        for path in self.paths:
            kept = torch.from_file(path, True, 16, dtype=torch.uint8)
            kept.fill_(65)
            y = y + kept.float().mean()  # what isn't used isn't run
        return y


class WritesOnLoad(nn.Module):
    """Does so when it is loaded."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self.paths: list[str] = paths
        self.layer = nn.Linear(4, 3)

    @torch.jit.export
    def __getstate__(self) -> tuple[list[str], bool]:
        return self.paths, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[list[str], bool]) -> None:
        self.paths = state[0]
        count = 0
        for path in self.paths:
            kept = torch.from_file(path, True, 16, dtype=torch.uint8)
            kept.fill_(65)
            count += int(kept[0])  # what isn't used isn't run
        self.training = state[1] and count > 0

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class LoopsOnLoad(nn.Module):
    """Never ends to be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True

    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state
        self.on = True
        count = 0
        while self.on:
            count += 1

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Loops(nn.Module):
    """Never ends to run."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        while self.on:
            x = x + 1
        y: Tensor = self.layer(x)
        return y


class Grows(nn.Module):
    """Takes all the memory there is."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(1099511627776)


class OutOfBounds(nn.Module):
    """Reads what isn't its own memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.as_strided([1, 4], [1099511627776, 1], 1099511627776)


class Complains(nn.Module):
    """Raises an error with a text of its own, of paths and colours."""

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > 0:
            raise RuntimeError("\x1b[31mTraceback /root/.ssh/id_rsa <b>")
        return x


def parentheses(places: Places) -> bytes:
    """Code so deeply nested that reading it crashes torch."""
    deep = "(" * 40_000 + "x" + ")" * 40_000
    return with_forward(f"    return {deep}\n")


def with_forward(body: str) -> bytes:
    """The plain script with another body of `forward`."""

    def change(name: str, content: bytes) -> bytes:
        text = content.decode() if name.endswith(".py") else ""
        at = text.find("class Linear(Module):\n")
        if at < 0 or "layer" not in text:
            return content
        start = text.index("-> Tensor:\n", at) + len("-> Tensor:\n")
        return (text[:start] + body).encode()

    return changed(plain_script(), change)


@cache
def plain_program() -> bytes:
    file = io.BytesIO()
    with quiet():
        torch.export.save(torch.export.export(Linear().eval(), (torch.ones(1, 4),)), file)
    return file.getvalue()


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, places: Places) -> None:
        self.command = " ".join(f"touch {path};" for path in places.markers)

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (self.command,)


def zipped_pickle(places: Places) -> bytes:
    file = io.BytesIO()
    torch.save(Payload(places), file)
    return file.getvalue()


def program_with(part: str, content: Callable[[Places], bytes]) -> Callable[[Places], bytes]:
    """The program with some of its members replaced."""

    def made(places: Places) -> bytes:
        return changed(plain_program(), lambda n, old: content(places) if part in n else old)

    return made


def program_with_file(name: str, content: bytes) -> bytes:
    file = io.BytesIO(plain_program())
    with zipfile.ZipFile(file, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{name}", content)
    return file.getvalue()


def sympified(places: Places) -> bytes:
    """An expression for a size, which is evaluated as Python."""
    path = places.markers[0]
    code = f"__import__('os').system('touch {path}')"

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("model.json"):
            return content
        symbol = {"as_expr": {"expr_str": code, "hint": {"as_int": 1}}}
        text = json.dumps(json.loads(content)).replace('{"as_int": 1}', json.dumps(symbol), 1)
        return text.encode()

    return changed(plain_program(), change)


def old_program(places: Places) -> bytes:
    """The layout of earlier versions, whose weights are a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("serialized_exported_program.json", b"{}")
        archive.writestr("serialized_state_dict.pt", pickle.dumps(Payload(places)))
        archive.writestr("serialized_constants.pt", zipped_pickle(places))
        archive.writestr("version", b"5.3")
    return file.getvalue()


CANT = "can't be read by torch"
NO_SCRIPT = "torch can't read"
NOT_RUN = "doesn't run on inputs"
CRASH = "crashed the process|torch can't read"
PROGRAMS: dict[str, tuple[str, Content]] = {
    "weights-are-a-pickle": (CANT, program_with("data/weights/", zipped_pickle)),
    "inputs-are-a-pickle": (CANT, program_with("sample_inputs", zipped_pickle)),
    "expression-is-code": (CANT, sympified),
    "old-layout": (CANT, old_program),
    "json-is-noise": (CANT, program_with(".json", lambda places: b"\x00\x01{")),
    "json-is-empty": (CANT, program_with(".json", lambda places: b"{}")),
    "json-is-deep": (CANT, program_with(".json", lambda places: b"[" * 100_000)),
    "library": ("compiled code", lambda p: program_with_file("data/aotinductor/m.so", b"\x7fELF")),
    "source": ("compiled code", lambda p: program_with_file("data/aotinductor/m.cpp", b"int x;")),
    "cut": ("damaged", lambda places: plain_program()[:-40]),
    "no-weights": (
        CANT,
        lambda places: changed(plain_program(), lambda n, c: None if "weights" in n else c),
    ),
}
SCRIPTS: dict[str, tuple[str, Content]] = {
    "reads-a-file": (NOT_RUN, lambda places: scripted(ReadsFile(str(places.secret)))),
    "reads-passwd": (NOT_RUN, lambda places: scripted(ReadsFile("/etc/passwd"))),
    "writes-files": (NOT_RUN, lambda p: scripted(WritesFile([str(m) for m in p.markers]))),
    "writes-on-load": (NO_SCRIPT, lambda p: scripted(WritesOnLoad([str(m) for m in p.markers]))),
    "takes-all-memory": (NOT_RUN, lambda places: scripted(Grows())),
    "out-of-bounds": (f"{NOT_RUN}|{CRASH}", lambda places: scripted(OutOfBounds())),
    "complains": (NOT_RUN, lambda places: scripted(Complains())),
    "nested-too-deep": (CRASH, parentheses),
    "code-is-noise": (NO_SCRIPT, lambda p: with_forward("    return \x00\x01 (((\n")),
    "code-of-another-language": (NO_SCRIPT, lambda p: with_forward("    import os\n")),
    "unknown-operator": (NO_SCRIPT, lambda p: with_forward("    return torch.evil(x)\n")),
    "no-code": (
        "without its code",
        lambda places: changed(plain_script(), lambda name, c: None if "/code/" in name else c),
    ),
    "no-constants": (
        "more than tensors|pickled module",
        lambda places: changed(
            plain_script(), lambda name, c: None if "constants.pkl" in name else c
        ),
    ),
    "constants-are-noise": (
        NO_SCRIPT,
        lambda places: changed(
            plain_script(), lambda name, c: b"\x80\x02\xff" if "constants.pkl" in name else c
        ),
    ),
    "data-is-noise": (
        NO_SCRIPT,
        lambda places: changed(
            plain_script(), lambda name, c: b"\x80\x02\xff" if "data.pkl" in name else c
        ),
    ),
}
CASES = (
    *(
        Case(f"pt2-{name}", says, {"network.pt2": content})
        for name, (says, content) in PROGRAMS.items()
    ),
    *(
        Case(f"script-{name}", says, {"network.pt": content}, shape=SHAPE)
        for name, (says, content) in SCRIPTS.items()
    ),
    Case("script-without-shapes", "give the shape", {"network.pt": lambda places: plain_script()}),
    Case(
        "script-of-another-shape",
        NOT_RUN,
        {"network.pt": lambda places: plain_script()},
        shape=(1, 9),
    ),
    Case("script-of-shape-0", "at least 1", {"network.pt": lambda p: plain_script()}, shape=(0, 4)),
    Case(
        "script-of-a-huge-shape",
        "too large",
        {"network.pt": lambda p: plain_script()},
        shape=(2**20, 2**20),
    ),
    Case(
        "script-loops",
        "longer than",
        {"network.pt": lambda places: scripted(Loops())},
        shape=SHAPE,
        is_slow=True,
    ),
    Case(
        "script-loops-on-load",
        "longer than",
        {"network.pt": lambda p: scripted(LoopsOnLoad())},
        shape=SHAPE,
        is_slow=True,
    ),
)
