"""Many modules become one that does the same."""

import subprocess
from pathlib import Path

import pytest
from test_widget import WIDGET, node, run_node

from explorer.widget.bundle import IMPORT, SCRIPTS, bundle

HOSTS = {"jupyter.js", "streamlit.js"}  # they name what only a page has
PREVIEW = SCRIPTS.parents[1] / "preview" / "js"
PLACES = (SCRIPTS, PREVIEW)
ALONE = sorted(p for place in PLACES for p in place.glob("*.js") if p.name not in HOSTS)


def written(folder: Path, **modules: str) -> Path:
    """Modules as files; the entry is the first."""
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder / f"{next(iter(modules))}.js"


def printed(folder: Path, text: str, statement: str) -> str:
    """What a statement prints that imports the bundle as `made`."""
    (folder / "bundle.mjs").write_text(text)
    script = f'import * as made from "./bundle.mjs";\n{statement}'
    (folder / "script.mjs").write_text(script)
    command = [node(), str(folder / "script.mjs")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_each_module_exports_the_same_alone_and_bundled(tmp_path: Path) -> None:
    pairs = []
    for path in ALONE:
        bundled = tmp_path / f"{path.stem}.mjs"
        bundled.write_text(bundle(path))
        pairs.append([str(path), str(bundled)])
    compared = run_node("bundled.mjs", pairs)
    assert sum(compared) > 30
    assert min(compared) >= 1


def test_names_are_kept_apart_and_each_module_runs_once(tmp_path: Path) -> None:
    entry = written(
        tmp_path,
        entry='import { left as other,\n  twice } from "./left.js";\n'
        'import { right } from "./right.js";\n'
        "const own = 1;\nexport const sum = () => own + other() + right();\n"
        "export default { sum, twice };\n",
        left='import { count } from "./count.js";\nconst own = 10;\n'
        "export function left() {\n  return own * count();\n}\nexport class twice {}\n",
        right='import { count } from "./count.js";\nconst own = 100;\n'
        "export const right = () => own * count();\n",
        count="let calls = 0;\nexport function count() {\n  calls += 1;\n  return calls;\n}\n",
    )
    told = printed(
        tmp_path,
        bundle(entry),
        "console.log(made.sum(), Object.keys(made).join(), Object.keys(made.default).join());",
    )
    assert told == "211 default,sum sum,twice"


def test_modules_of_another_folder_join_but_not_under_one_name(tmp_path: Path) -> None:
    for name in ("panel", "preview"):
        (tmp_path / name).mkdir()
    written(tmp_path / "preview", plan="export const plan = 3;\n")
    line = 'import { plan } from "../preview/plan.js";\nexport const twice = 2 * plan;\n'
    entry = written(tmp_path / "panel", panel=line)
    assert printed(tmp_path, bundle(entry), "console.log(made.twice);") == "6"
    entry = written(tmp_path / "panel", plan=line)
    with pytest.raises(ValueError, match=r"2 modules are called plan\.js\."):
        bundle(entry)


def test_the_estimator_knows_nothing_of_the_panel() -> None:
    imported = [
        name for path in PREVIEW.glob("*.js") for _, name in IMPORT.findall(path.read_text())
    ]
    assert len(imported) > 5
    assert not [name for name in imported if not name.startswith("./")]


def test_a_style_sheet_keeps_its_text(tmp_path: Path) -> None:
    styles = 'a::before { content: "\\201c</script>`${x}"; }\n/* ü */\n'
    (tmp_path / "look.css").write_text(styles)
    imported = 'import look from "./look.css" with { type: "css" };\n'
    entry = written(tmp_path, entry=f"{imported}export const text = look.text;\n")
    stand_in = "globalThis.CSSStyleSheet = class { replaceSync(text) { this.text = text; } };\n"
    told = printed(tmp_path, stand_in + bundle(entry), "console.log(JSON.stringify(made.text));")
    assert told == printed(tmp_path, "", f"console.log(JSON.stringify({styles!r}));")


@pytest.mark.parametrize(
    "line",
    [
        'import "./other.js";',
        'import * as other from "./other.js";',
        'import other from "./other.js";',
        'import { other } from "elsewhere";',
        'import { other } from "/other.js";',
        'export * from "./other.js";',
        "export { other };",
        "export let other = 1;",
        'const other = await import("./other.js");',
        "const other = import.meta.url;",
    ],
)
def test_other_forms_are_refused_by_their_line(tmp_path: Path, line: str) -> None:
    entry = written(tmp_path, entry=f"const a = 1;\n{line}\n", other="export const other = 1;\n")
    with pytest.raises(ValueError, match=r"entry\.js imports or exports in another form") as caught:
        bundle(entry)
    assert str(caught.value).endswith(line)


def test_circles_are_refused(tmp_path: Path) -> None:
    entry = written(
        tmp_path,
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { c } from "./c.js";\nexport const b = 1;\n',
        c='import { b } from "./b.js";\nexport const c = 1;\n',
    )
    with pytest.raises(ValueError, match=r"in a circle: b\.js, c\.js, b\.js\."):
        bundle(entry)


def test_the_tests_of_the_panel_find_their_scripts() -> None:
    assert (WIDGET / "bundled.mjs").exists()
    assert len(ALONE) > 10
