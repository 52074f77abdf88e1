"""Claims about other plugins in the same run."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.runs import run

pytest_plugins = ["pytester"]


def test_it_gets_along_with_its_neighbours(inner: pytest.Pytester) -> None:
    """Under pytest-asyncio, with every socket forbidden, the intercepting fixtures work; a port works where it is allowed."""
    inner.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    run(
        inner,
        """
        async def test_coroutine(kling, kling_async_client):
            await kling_async_client.generate(PAYLOAD)
            kling.assert_created_once()
            async with httpx.AsyncClient(headers=HEADERS) as http:
                assert (await http.post(URL, json=PAYLOAD)).status_code == CREATED

        def test_function(kling):
            assert send().status_code == CREATED

        @pytest.mark.enable_socket
        def test_port(kling_server):
            assert send(url=kling_server.url + PATH).status_code == CREATED
        """.replace("\n        ", "\n"),
        "--disable-socket",
        "--allow-unix-socket",
        passed=3,
    )
