"""Dockerfile, compose file and the service on Kubernetes: their commands exist, and they have no rights."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from ecg_hough.cli.app import app
from places import ROOT


def script(name: str) -> ModuleType:
    """A module of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments_of(words: list[str]) -> dict[str, Any]:
    """What a command of ecg-hough takes from its words; an error where it does not take them."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    if words[0] not in commands:
        pytest.skip(f"ecg-hough {words[0]} is not there")
    found: dict[str, Any] = commands[words[0]].make_context(words[0], words[1:]).params
    return found


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(words[0], words[1]) for words in found]


def test_the_image_has_known_extras_and_no_rights() -> None:
    steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    names = [name for name, _ in steps]
    assert names.count("FROM") == 2
    assert ("USER", "10001:10001") in steps
    assert names.index("ENTRYPOINT") > names.index("USER")
    (extras,) = (rest.partition("=")[2] for name, rest in steps if rest.startswith("EXTRAS="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys() - {"train", "ray"}
    copied = [
        word for name, rest in steps if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]
    ]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{word}" for word in copied} == {line for line in ignored if line.startswith("!")}
    for word in copied:
        assert (ROOT / word).exists(), word


def test_compose_starts_the_review_with_its_database(tmp_path: Any) -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    review = services["review"]
    assert review["read_only"]
    assert review["volumes"] == [".:/data:ro"], "pages are where `docker run` of the docs reads them"
    assert review["cap_drop"] == ["ALL"]
    (port,) = services["database"]["ports"]
    assert port.startswith("127.0.0.1:")
    words = [re.sub(r"\$\{\w+:[-?][^}]*\}", "x", word) for word in review["command"]]
    found = arguments_of([str(tmp_path) if word == "/data/out" else word for word in words])
    assert found["port"] == 8000
    assert not found["browser"]
    assert found["database"] == "postgresql+psycopg://ecg:x@127.0.0.1:5432/ecg"


def test_the_service_on_kubernetes() -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "docs" / "templates" / "kubernetes-service.yaml").read_text(encoding="utf-8")
    stateful, service = yaml.safe_load_all(text)
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert service["spec"]["selector"] == stateful["spec"]["selector"]["matchLabels"]
    mounted = {one["name"] for one in container["volumeMounts"]}
    made = {one["name"] for one in pod["volumes"]}
    made |= {one["metadata"]["name"] for one in stateful["spec"]["volumeClaimTemplates"]}
    assert mounted == made
    found = arguments_of(container["args"])
    assert (found["host"], found["port"]) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert str(found["keys"]) == "/keys/keys.json"


def test_links_of_the_site_lead_where_those_of_the_repository_do() -> None:
    pytest.importorskip("mkdocs")
    turned = script("site_hooks").on_page_markdown

    class Page:
        """What mkdocs hands to the hook."""

        def __init__(self, source: str, uri: str) -> None:
            self.file = type("File", (), {"abs_src_path": str(ROOT / source), "src_uri": uri})

    out = turned(
        "[d](../datasets/README.md) [m](metrics.md#challenge)", Page("docs/training.md", "training.md")
    )
    assert out == "[d](datasets/README.md) [m](metrics.md#challenge)"
    back = turned("[t](../../docs/training.md)", Page("datasets/ptbxl/README.md", "datasets/ptbxl/README.md"))
    assert back == "[t](../../training.md)"
    assert turned("[w](https://example.org)", Page("README.md", "README.md")) == "[w](https://example.org)"
