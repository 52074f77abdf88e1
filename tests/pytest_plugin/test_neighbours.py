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


def test_other_mocks_keep_their_calls(inner: pytest.Pytester) -> None:
    """pytest-httpx and kling share a test in both orders: the fake has the calls of the API, the mock has the others.

    A test without a fake may mock the API itself, and the guard has nothing against it.
    """
    run(
        inner,
        """
        import respx

        def both(httpx_mock, kling):
            httpx_mock.add_response(url="https://example.com/a", text="mocked")
            assert httpx.get("https://example.com/a").text == "mocked"
            assert httpx.post(URL, json=PAYLOAD, headers=HEADERS).status_code == CREATED
            assert len(kling.generations) == 1

        def test_mock_first(httpx_mock, kling):
            both(httpx_mock, kling)

        def test_fake_first(kling, httpx_mock):
            both(httpx_mock, kling)

        def test_httpx_mock_alone(httpx_mock):
            httpx_mock.add_response(url=URL, text="mocked")
            assert httpx.get(URL).text == "mocked"

        @respx.mock
        def test_respx_alone():
            respx.get(URL).respond(text="mocked")
            assert httpx.get(URL).text == "mocked"
        """.replace("\n        ", "\n"),
        passed=4,
    )
