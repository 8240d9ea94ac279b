"""Compiled networks kept on the disk: a process that finds them there starts in a quarter of the time.

In: what a compiled network depends on, and how it is made. Out: the compiled network. The folder is
`$ECG_HOUGH_CACHE`, or `ecg-hough` in the user's cache; "off" keeps nothing. Files are written under another
name and then renamed, and hold their own sha256, so processes may share the folder, and a damaged one is made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

VARIABLE, OFF = "ECG_HOUGH_CACHE", "off"
FILES_MAX = 64
"""Compiled networks that are kept; those used longest ago are removed. One is 2 to 10 MB."""
_DIGEST_BYTES = 32


def cache_folder() -> Path | None:
    """Where compiled networks are kept; None where they are not."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named in ("", OFF) else Path(named)
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-hough"
    return None


def compiled_network(core: Any, config: dict[str, Any], depends_on: Any, make: Callable[[], Any]) -> Any:
    """A network compiled for the processor, from the disk if it is there.

    Args:
        core: OpenVINO's; config: of the compilation.
        depends_on: weights, precision, shape; ready for JSON.
        make: the model, called where it must be compiled.
    """
    folder = cache_folder()
    if folder is None:
        return core.compile_model(make(), "CPU", config)
    path = folder / f"{_key(core, config, depends_on)}.bin"
    with contextlib.suppress(Exception):  # whatever is wrong with the file, it is made again
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]:
            compiled = core.import_model(content[_DIGEST_BYTES:], "CPU", config)
            os.utime(path)
            return compiled
    compiled = core.compile_model(make(), "CPU", config)
    try:
        _keep(compiled, path)
    except Exception as error:  # a full disk, a folder that cannot be written, a plugin that exports nothing
        log.info("compiled network not kept in %s: %s", folder, error)
    return compiled


def _key(core: Any, config: dict[str, Any], depends_on: Any) -> str:
    """Of OpenVINO's version and of the processor, too: machines of several kinds may share a folder."""
    import openvino

    processor = [core.get_property("CPU", "FULL_DEVICE_NAME")]
    processor += sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    settings = {name: str(value) for name, value in config.items()}
    parts = [openvino.__version__, processor, settings, depends_on]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _keep(compiled: Any, path: Path) -> None:
    exported = compiled.export_model()
    content = exported.read() if hasattr(exported, "read") else bytes(exported)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    kept = sorted(path.parent.glob("*.bin"), key=lambda one: one.stat().st_mtime)
    for old in kept[:-FILES_MAX]:
        old.unlink(missing_ok=True)
