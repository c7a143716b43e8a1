import httpx
import pytest

from mmtrace.server.security import is_loopback

PATHS = ["/api/v3/services", "/", "/v1/traces", "/nothing"]


@pytest.fixture(scope="module")
def client(serve_process):
    with serve_process() as (_, url), httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4318",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "[2001:db8::1]:4318",
        "",
    ],
)
def test_a_foreign_host_header_is_403(client, path, host):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "--allow-host" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.nip.io"])
def test_nothing_is_stored_that_came_under_a_foreign_name(server, kit, host):
    body = kit.request(kit.span()).SerializeToString()
    answer = httpx.post(f"{server.url}/v1/traces", content=body, headers={**kit.protobuf, "Host": host})
    assert answer.status_code == 403
    assert server.store.stats().spans == 0


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:4318", "127.0.0.1", "127.0.0.9:80", "[::1]:4318", "app.localhost"]
)
def test_loopback_names_are_always_served(client, host):
    assert client.get("/api/v3/services", headers={"Host": host}).status_code == 200


def test_allowed_names_are_served_with_any_port_and_in_any_case(start):
    server = start(allow_hosts=("Viewer.Example", "traces:9999"))
    for host in ("viewer.example", "VIEWER.EXAMPLE:4318", "traces"):
        assert httpx.get(f"{server.url}/api/v3/services", headers={"Host": host}).status_code == 200
    assert httpx.get(f"{server.url}/api/v3/services", headers={"Host": "other.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_send_telemetry(server, kit, headers):
    body = kit.request(kit.span()).SerializeToString()
    answer = httpx.post(f"{server.url}/v1/traces", content=body, headers={**kit.protobuf, **headers})
    assert answer.status_code == 403
    assert server.store.stats().spans == 0


def test_a_page_of_this_server_may_send(client, kit):
    body = kit.request(kit.span()).SerializeToString()
    headers = {**kit.protobuf, "Origin": str(client.base_url), "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/traces", content=body, headers=headers).status_code == 200


def test_no_answer_may_be_read_or_framed_by_another_site(client):
    for path in PATHS:
        headers = client.get(path).headers
        assert "access-control-allow-origin" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.fixture(scope="module")
def guarded(serve_process):
    """The address of a server with a token."""
    with serve_process("--token", "sesame-open") as (_, url):
        yield url


def test_on_loopback_no_token_is_asked_for(start):
    assert start().token is None
    assert start(host="localhost").token is None


def test_beyond_loopback_a_token_is_made_and_asked_for(start, kit):
    server = start(host="0.0.0.0")
    assert len(server.token) >= 24
    body = kit.request(kit.span()).SerializeToString()
    answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=kit.protobuf)
    assert answer.status_code == 401
    assert server.store.stats().spans == 0
    headers = {**kit.protobuf, "Authorization": f"Bearer {server.token}"}
    assert httpx.post(f"{server.url}/v1/traces", content=body, headers=headers).status_code == 200
    assert server.page == f"{server.url}/?token={server.token}"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame-open"}, {"Cookie": "mmtrace_token=wrong"}],
)
def test_without_the_token_everything_is_401(guarded, path, headers):
    answer = httpx.get(f"{guarded}{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token" in answer.text
    assert "sesame" not in answer.text


def test_a_browser_keeps_the_token_in_a_cookie_and_loses_it_from_the_address(guarded):
    with httpx.Client(base_url=guarded) as browser:
        answer = browser.get("/api/v3/operations?service=a%22%3E%3Cb&token=sesame-open")
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert 'url=/api/v3/operations?service=a%22%3E%3Cb"' in answer.text
        assert "sesame" not in answer.text
        assert browser.get("/api/v3/operations?service=a").json() == {"operations": []}


def test_a_wrong_token_in_the_address_sets_no_cookie(guarded):
    answer = httpx.get(f"{guarded}/?token=wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_page_that_brings_the_token_as_a_cookie_still_may_not_send_from_another_site(guarded, kit):
    answer = httpx.post(
        f"{guarded}/v1/traces",
        content=kit.request(kit.span()).SerializeToString(),
        headers={**kit.protobuf, "Cookie": "mmtrace_token=sesame-open", "Origin": "https://evil.example"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(name, is_own):
    assert is_loopback(name) is is_own
