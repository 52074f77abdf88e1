"""Makes a video and downloads it, by the HTTP client that the first argument names, waiting 10 seconds between two polls."""

import asyncio
import inspect
import json
import os
import sys
import time

API = "https://api.aimlapi.com/v2/generate/video/kling/generation"
HEADERS = {"Authorization": "Bearer a-key-for-tests", "Content-Type": "application/json"}
BODY = {
    "model": "kling-video/v1/pro/image-to-video",
    "image_url": "https://example.com/cat.png",
    "prompt": "The cat wakes up.",
}
WAIT = float(os.environ.get("WAIT", "10"))


def requests_():
    import requests

    def send(method, url, body):
        answer = requests.request(method, url, data=body, headers=HEADERS, timeout=60)
        return answer.status_code, answer.content

    return send


def requests_without_environment():
    import requests

    session = requests.Session()
    session.trust_env = False

    def send(method, url, body):
        answer = session.request(method, url, data=body, headers=HEADERS, timeout=60)
        return answer.status_code, answer.content

    return send


def requests_with_certifi():
    import certifi
    import requests

    def send(method, url, body):
        answer = requests.request(method, url, data=body, headers=HEADERS, timeout=60, verify=certifi.where())
        return answer.status_code, answer.content

    return send


def requests_under_gevent():
    from gevent import monkey

    monkey.patch_all()
    return requests_()


def httpx_(**options):
    import httpx

    client = httpx.Client(headers=HEADERS, timeout=60, **options)

    def send(method, url, body):
        answer = client.request(method, url, content=body)
        return answer.status_code, answer.content

    return send


def httpx_with_transport():
    import httpx

    return httpx_(transport=httpx.HTTPTransport(retries=2))


def httpx_with_context():
    import ssl

    import certifi

    return httpx_(verify=ssl.create_default_context(cafile=certifi.where()))


def httpx_async():
    import httpx

    client = httpx.AsyncClient(headers=HEADERS, timeout=60)

    async def send(method, url, body):
        answer = await client.request(method, url, content=body)
        return answer.status_code, answer.content

    return send


def httpx2_():
    import httpx2

    client = httpx2.Client(headers=HEADERS, timeout=60)

    def send(method, url, body):
        answer = client.request(method, url, content=body)
        return answer.status_code, answer.content

    return send


def openai_():
    import httpx
    import openai

    client = openai.OpenAI(base_url="https://api.aimlapi.com/v2", api_key="a-key-for-tests", max_retries=0)

    def send(method, url, body):
        if method == "POST":
            answer = client.post("/generate/video/kling/generation", body=json.loads(body), cast_to=httpx.Response)
        elif url.startswith(API):
            answer = client.get(url, cast_to=httpx.Response)
        else:
            answer = httpx.get(url)
        return answer.status_code, answer.content

    return send


def urllib_request():
    import urllib.request

    def send(method, url, body):
        with urllib.request.urlopen(urllib.request.Request(url, body, HEADERS, method=method), timeout=60) as answer:
            return answer.status, answer.read()

    return send


def http_client():
    import http.client
    from urllib.parse import urlsplit

    def send(method, url, body):
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=60)
        connection.request(method, f"{parts.path}?{parts.query}", body, HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()

    return send


def http_client_under_gevent():
    from gevent import monkey

    monkey.patch_all()
    return http_client()


def urllib3_():
    import urllib3

    pool = urllib3.PoolManager()

    def send(method, url, body):
        answer = pool.request(method, url, body=body, headers=HEADERS)
        return answer.status, answer.data

    return send


def tornado_():
    from tornado.httpclient import AsyncHTTPClient

    async def send(method, url, body):
        answer = await AsyncHTTPClient().fetch(url, method=method, body=body, headers=HEADERS, request_timeout=60)
        return answer.code, answer.body

    return send


def aiohttp_(**options):
    import aiohttp

    async def send(method, url, body):
        async with (
            aiohttp.ClientSession(headers=HEADERS, **options) as session,
            session.request(method, url, data=body) as answer,
        ):
            return answer.status, await answer.read()

    return send


def aiohttp_with_environment():
    return aiohttp_(trust_env=True)


def on_uvloop(send):
    import uvloop

    global run_async
    run_async = uvloop.run
    return send


def aiohttp_under_uvloop():
    return on_uvloop(aiohttp_())


def httpx_under_uvloop():
    return on_uvloop(httpx_async())


def niquests_():
    import niquests

    def send(method, url, body):
        answer = niquests.request(method, url, data=body, headers=HEADERS, timeout=60)
        return answer.status_code, answer.content

    return send


def pycurl_():
    import io

    import pycurl

    def send(method, url, body):
        found, curl = io.BytesIO(), pycurl.Curl()
        curl.setopt(curl.URL, url)
        curl.setopt(curl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
        curl.setopt(curl.WRITEDATA, found)
        if body is not None:
            curl.setopt(curl.POSTFIELDS, body)
        curl.perform()
        return curl.getinfo(curl.RESPONSE_CODE), found.getvalue()

    return send


def curl_cffi_():
    from curl_cffi import requests

    def send(method, url, body):
        answer = requests.request(method, url, data=body, headers=HEADERS, timeout=60)
        return answer.status_code, answer.content

    return send


def primp_():
    import primp

    client = primp.Client(timeout=60)

    def send(method, url, body):
        answer = client.request(method, url, content=body, headers=HEADERS)
        return answer.status_code, answer.content

    return send


def pyreqwest_():
    from pyreqwest.client import SyncClientBuilder

    client = SyncClientBuilder().build()

    def send(method, url, body):
        request = client.request(method, url).headers(HEADERS)
        answer = (request if body is None else request.body_bytes(body)).build().send()
        return answer.status, bytes(answer.bytes())

    return send


def httpx_under_trio():
    import trio

    global run_async, sleep_async
    send = httpx_async()
    run_async, sleep_async = trio_run, trio.sleep
    return send


def trio_run(coroutine):
    import trio

    async def main():
        return await coroutine

    return trio.run(main)


def httpx_under_anyio():
    import anyio

    global sleep_async
    sleep_async = anyio.sleep
    return httpx_async()


run_async, sleep_async = asyncio.run, asyncio.sleep


def make(send):
    status, answer = send("POST", API, json.dumps(BODY).encode())
    assert status in (200, 201), (status, answer)
    made = json.loads(answer)
    while made["status"] not in ("completed", "error"):
        time.sleep(WAIT)
        made = json.loads(send("GET", f"{API}?generation_id={made['id']}", None)[1])
    return made["status"], len(send("GET", made["video"]["url"], None)[1])


async def make_async(send):
    status, answer = await send("POST", API, json.dumps(BODY).encode())
    assert status in (200, 201), (status, answer)
    made = json.loads(answer)
    while made["status"] not in ("completed", "error"):
        await sleep_async(WAIT)
        made = json.loads((await send("GET", f"{API}?generation_id={made['id']}", None))[1])
    return made["status"], len((await send("GET", made["video"]["url"], None))[1])


chosen = globals()[sys.argv[1]]()
if inspect.iscoroutinefunction(chosen):
    print(*run_async(make_async(chosen)))
else:
    print(*make(chosen))
