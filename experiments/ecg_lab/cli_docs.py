"""docs/cli.md: every command and option of the command lines, taken from the commands themselves.

`python -m ecg_lab.cli_docs` writes the page again. In: the scripts that the pyproject files declare. Out:
Markdown with a section a command. A script whose module is not installed is omitted.
"""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Callable
from enum import EnumType
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cli.md"
HEAD = """\
# Command line

Every command with its arguments and options, as `--help` shows them. This page is written by
`python -m ecg_lab.cli_docs` and checked by the tests: change the help texts in the code, not this page.
"""


def scripts() -> dict[str, str]:
    """Names of the programs and where their Typer app is, `module:attribute`; those that can be imported."""
    found = {}
    for path in (ROOT / "pyproject.toml", ROOT / "experiments" / "pyproject.toml"):
        if path.is_file():
            project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
            found.update(project.get("scripts", {}))
    return {
        name: place
        for name, place in found.items()
        if importlib.util.find_spec(place.split(":")[0]) is not None
    }


def commands(place: str) -> dict[str, Callable[..., Any]]:
    """Functions behind the commands of the Typer app at `module:attribute`, by name, in the code's order."""
    module, attribute = place.split(":")
    return _commands_of(getattr(importlib.import_module(module), attribute))


def _commands_of(app: typer.Typer) -> dict[str, Callable[..., Any]]:
    found = {
        command.name or command.callback.__name__.replace("_", "-"): command.callback
        for command in app.registered_commands
        if command.callback is not None and not command.hidden
    }
    for group in app.registered_groups:
        if group.typer_instance is not None:
            inner = _commands_of(group.typer_instance)
            found |= {f"{group.name} {name}": callback for name, callback in inner.items()}
    return found


def cli_page() -> str:
    """The page docs/cli.md."""
    parts = [HEAD]
    for program, place in sorted(scripts().items()):
        parts.append(f"## {program}\n")
        parts += [_section(f"{program} {name}", function) for name, function in commands(place).items()]
    return "\n".join(parts)


def _section(title: str, function: Callable[..., Any]) -> str:
    lines = [f"### {title}", "", cleandoc(function.__doc__ or ""), ""]
    lines += ["| argument or option | default | |", "|---|---|---|"]
    hints = get_type_hints(function, include_extras=True)
    for parameter in signature(function).parameters.values():
        kind, *notes = get_args(hints[parameter.name])
        info = next(note for note in notes if isinstance(note, (ArgumentInfo, OptionInfo)))
        cells = (_typed(parameter.name, kind, info), _default(parameter.default, info), info.help or "")
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _typed(name: str, kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """What is typed, and between which words one can choose."""
    if isinstance(info, ArgumentInfo):
        return f"`{info.metavar or name.upper()}`"
    # Within Annotated, typer holds the first spelling where a default would be.
    first = (info.default,) if isinstance(info.default, str) else ()
    options = (*first, *(info.param_decls or ())) or ("--" + name.replace("_", "-"),)
    choices: list[Any] = list(kind) if isinstance(kind, EnumType) else []
    return " ".join([", ".join(f"`{option}`" for option in options), ", ".join(map(str, choices))])


def _default(value: Any, info: ArgumentInfo | OptionInfo) -> str:
    if value is Parameter.empty:
        return "required"
    if isinstance(info.show_default, str):
        return info.show_default
    return "" if value is None or value is False else f"`{getattr(value, 'value', value)}`"


def main() -> None:
    """Write the page."""
    PAGE.write_text(cli_page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
