"""The entry for programs in Python: redirects their connections and their time, then loads the `sitecustomize` that comes next.

Python imports it at its start, because its folder is in PYTHONPATH. It prints nothing, but one line for a failure of its own.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Each needs those before it.
_CONNECTIONS = ("importing", "patching", "redirection", "sockets", "trust", "loops", "curl", "connections")
_WAITS = ("callers", "replacing", "registry", "clocks", "threads", "timers", "descriptors", "following", "waits")


def _prepare() -> None:
    import json
    import os

    run = json.loads(os.environ["KLING_CONTRACT_RUN"])
    port = int(run["port"])
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def authority() -> str:
        with open(run["authority"]) as file:
            return str(file.read())

    def refused(host: str, number: int) -> None:
        import socket

        place = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(f"KLING-REFUSED {place}\n".encode("ascii", "replace"))
        except OSError:  # the run has ended
            pass

    connections = _load(folder, _CONNECTIONS)
    connections.Redirection(
        run["hosts"],
        run["domain"],
        address=lambda: ("127.0.0.1", port),
        authority=authority,
        refuse_others=run.get("refuse_others", True),
        allow=run.get("allow", ()),
        advice="; --allow HOST:PORT lets such connections through",
        on_refused=refused,
    ).begin()
    if run.get("pace"):
        _load(folder, _WAITS).follow(port, connections.leads)


def _load(folder: str, names: tuple[str, ...]) -> Any:
    """Load the modules of a folder, under names that are in nobody's way. Return the last."""
    import os
    from importlib.util import module_from_spec, spec_from_file_location

    for name in names:
        full = f"fake_server.preload.{name}"
        spec: Any = spec_from_file_location(full, os.path.join(folder, f"{name}.py"))
        module = sys.modules[full] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def _load_next() -> None:
    """Load the `sitecustomize` that Python would have found without this one, if there is one."""
    import os
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != own]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


try:
    _prepare()
except Exception as error:  # noqa: BLE001 - whatever it is, the program runs as it would without us
    sys.stderr.write(f"kling-contract: this program is not redirected: {type(error).__name__}: {error}\n")
_load_next()
