"""The rule of the house: a room imports the ground floor and rooms to its left, and nobody a circle."""

import ast
from functools import cache
from pathlib import Path

import ecg_hough
from places import HEAVY, heavy_tests

PACKAGE = Path(ecg_hough.__file__).parent
GROUND = {"errors", "numeric", "paper", "cores", "options", "elements", "page_map", "record", "clinical"}
ROOMS = (
    "web", "documents", "image", "geometry", "networks", "layout", "traces", "vectors", "signals",
    "measure", "header", "output", "assembly", "pipeline", "document", "batch", "review", "service",
    "render", "datasets", "scores", "support", "training", "cli",
)  # fmt: skip
"""From left to right."""
IMPORTS_MAX, MODULE_FLOORS, ROOM_FLOORS = 13, 19, 14
FILES_MAX, FOLDERS_MAX = 16, 21


@cache
def imports() -> dict[str, frozenset[str]]:
    """Modules of the package that each of them imports, anywhere in its text."""
    files = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    found = {}
    for module, path in modules.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names |= {
                    name if name.removeprefix("ecg_hough.") in modules else node.module for name in whole
                }
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        inner = {name.removeprefix("ecg_hough.") for name in names if name.startswith("ecg_hough.")}
        assert inner <= modules.keys(), f"{module} imports what is not there: {inner - modules.keys()}"
        found[module] = frozenset(inner - {module})
    return found


def room(module: str) -> str:
    return module.split(".")[0]


def test_a_room_imports_the_ground_floor_and_rooms_to_its_left() -> None:
    for module, others in imports().items():
        if module == "__init__":
            continue
        for other in others:
            here, there = room(module), room(other)
            if here in GROUND:
                assert there in GROUND, f"{module} is on the ground floor and imports {other}"
            elif there not in GROUND and here != there:
                assert ROOMS.index(there) < ROOMS.index(here), f"{module} imports {other}, to its right"


def floors(arrows: dict[str, set[str]]) -> int:
    """Longest chain of imports; a circle is an error."""

    def floor(name: str, above: tuple[str, ...] = ()) -> int:
        assert name not in above, f"circle of imports: {' -> '.join((*above, name))}"
        if name not in known:
            known[name] = 1 + max((floor(other, (*above, name)) for other in arrows[name]), default=0)
        return known[name]

    known: dict[str, int] = {}
    return max(map(floor, arrows))


def test_floors_and_circles() -> None:
    modules = {module: set(others) for module, others in imports().items() if module != "__init__"}
    assert floors(modules) <= MODULE_FLOORS
    rooms: dict[str, set[str]] = {}
    for module, others in modules.items():
        rooms.setdefault(room(module), set()).update(map(room, others))
    assert floors({name: others - {name} for name, others in rooms.items()}) <= ROOM_FLOORS


def test_no_module_imports_the_whole_house() -> None:
    many = {
        m: len(others) for m, others in imports().items() if len(others) > IMPORTS_MAX and room(m) != "cli"
    }
    assert not many


def test_the_hall_is_small() -> None:
    files = [path for path in PACKAGE.iterdir() if path.is_file()]
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(files) <= FILES_MAX
    assert len(folders) <= FOLDERS_MAX


def test_the_tool_knows_no_laboratory() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "ecg_lab" not in text, path
        assert "experiments/" not in text, path


def functions_of(path: Path) -> dict[str, bool]:
    """Tests of a file by "folder/file.py::name", and whether each is marked slow there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    whole = any("slow" in ast.unparse(node) for node in tree.body if "pytestmark" in ast.unparse(node)[:10])
    place = path.relative_to(HEAVY.parent).as_posix()
    return {
        f"{place}::{node.name}": whole or any("slow" in ast.unparse(mark) for mark in node.decorator_list)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_room_has_a_fast_test() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    for folder in {*rooms - {"cli"}, "lab"}:
        tests: dict[str, bool] = {}
        for path in (HEAVY.parent / folder).rglob("test_*.py"):
            tests |= functions_of(path)
        fast = [name for name, is_slow in tests.items() if not is_slow and name not in heavy_tests()]
        assert fast, f"make test-fast runs no test of {folder}"


def test_the_list_of_heavy_tests_names_tests() -> None:
    known: dict[str, bool] = {}
    for path in HEAVY.parent.rglob("test_*.py"):
        known |= functions_of(path)
    assert heavy_tests() <= known.keys(), sorted(heavy_tests() - known.keys())
