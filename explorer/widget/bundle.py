"""The panel's modules as one, for hosts that take a single script.

No JavaScript is parsed beyond the lines on which a module imports and exports, so these keep to a
few forms, each from the start of its line; anything else is refused. Every module becomes a
function that runs once, after those that it imports, and gives what it exports.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(__file__).with_name("js")
IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.\.?/[^"]+\.js)";\n', re.MULTILINE)
STYLES = re.compile(
    r'^import (\w+) from "(\./[^"/]+\.css)" with \{ type: "css" \};\n', re.MULTILINE
)
EXPORT = re.compile(r"^export ((?:async )?function\*? |class |const )(\w+)", re.MULTILINE)
DEFAULT = re.compile(r"^export default ", re.MULTILINE)
OTHER = re.compile(
    r"^.*(?:^\s*(?:import|export)\b|\bimport\s*\(|\bimport\.meta\b).*$", re.MULTILINE
)
RENAMED = re.compile(r"\s+as\s+")


def bundle(entry: Path) -> str:
    """The text of one module that exports what the module at `entry` does.

    Styles, which are imported with `{ type: "css" }`, become style sheets as they would alone.

    Raises:
        ValueError: modules import each other in a circle, or import or export in another form, or
            two have one name.
    """
    paths = list(_in_order(entry.resolve(), ()))
    for name, number in Counter(path.name for path in paths).items():
        if number > 1:
            raise ValueError(f"{number} modules are called {name}.")
    parts = [_module(path) for path in paths]
    names = [name for _, name in EXPORT.findall(entry.read_text())]
    if names:
        parts.append(f"export const {{ {', '.join(names)} }} = {_name(entry)};\n")
    if DEFAULT.search(entry.read_text()):
        parts.append(f"export default {_name(entry)}.default;\n")
    return "\n".join(parts)


def _in_order(path: Path, waiting: tuple[Path, ...]) -> Iterator[Path]:
    """A file after all that it imports, each once; those in `waiting` import it."""
    if path in waiting:
        circle = ", ".join(each.name for each in (*waiting[waiting.index(path) :], path))
        raise ValueError(f"Modules import each other in a circle: {circle}.")
    found: dict[Path, None] = {}
    if path.suffix == ".js":
        text = path.read_text()
        for _, name in [*IMPORT.findall(text), *STYLES.findall(text)]:
            found |= dict.fromkeys(_in_order((path.parent / name).resolve(), (*waiting, path)))
    yield from [*found, path]


def _module(path: Path) -> str:
    """One file as the constant that holds its exports."""
    text = path.read_text()
    if path.suffix == ".css":
        return (
            f"const {_name(path)} = new CSSStyleSheet();\n"
            f"{_name(path)}.replaceSync({json.dumps(text)});\n"
        )
    imports = [_import(*found) for found in IMPORT.findall(text)]
    imports += [f"const {own} = {_name(Path(name))};" for own, name in STYLES.findall(text)]
    exported = [name for _, name in EXPORT.findall(text)]
    text = STYLES.sub("", IMPORT.sub("", text))
    text, defaults = DEFAULT.subn("const $default = ", EXPORT.sub(r"\1\2", text))
    other = OTHER.search(text)
    if other is not None:
        raise ValueError(f"{path.name} imports or exports in another form: {other[0].strip()}")
    exported += ["default: $default"] * defaults
    inside = "\n".join([*imports, text.rstrip(), f"return {{ {', '.join(exported)} }};"])
    return f"const {_name(path)} = (() => {{\n{inside}\n}})();\n"


def _import(names: str, source: str) -> str:
    """`import { a, b as c }` as a constant of the module that gives them."""
    own = ", ".join(
        ": ".join(RENAMED.split(name.strip())) for name in names.split(",") if name.strip()
    )
    return f"const {{ {own} }} = {_name(Path(source))};"


def _name(path: Path) -> str:
    return "$" + re.sub(r"\W", "_", path.name)
