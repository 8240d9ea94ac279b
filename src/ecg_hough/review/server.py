"""The review served on this machine until it is stopped.

In: an `Engine`. Out: a web server on 127.0.0.1, and its address, which opens a session once.
"""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

import uvicorn

from ecg_hough.review.app import new_token, review_app
from ecg_hough.review.engine import Engine

LOOPBACK_ADDRESS = "127.0.0.1"


def serve_review(
    engine: Engine,
    *,
    user: str,
    port: int = 0,
    browser: bool = True,
    on_address: Callable[[str], object] = print,
) -> None:
    """Serve a review until Ctrl-C.

    Args:
        user: name in the log of a person who gives no other.
        port: 0 takes a free one; browser: open one.
        on_address: called with the address, token included, as soon as it can be opened.

    Raises:
        OSError: the port is taken.
    """
    token = new_token()
    server = uvicorn.Server(
        uvicorn.Config(review_app(engine, user=user, token=token), log_level="warning", access_log=False)
    )
    with socket.create_server((LOOPBACK_ADDRESS, port)) as listener:
        address = f"http://{LOOPBACK_ADDRESS}:{listener.getsockname()[1]}/?token={quote(token)}"
        on_address(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server.run(sockets=[listener])
    engine.store.close()
