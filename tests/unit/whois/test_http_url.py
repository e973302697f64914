"""URLs that we may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.whois.http.url import Url, https_url

BASE = Url("rdap.example.net", "/ip/8.8.8.8")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://rdap.example.net/ip/2001:db8::1", "https://rdap.example.net/ip/2001:db8::1"),
        ("HTTPS://RDAP.Example.NET:443", "https://rdap.example.net/"),
        ("https://rdap.example.net/a?b=c#d", "https://rdap.example.net/a?b=c"),
        ("/ip/8.8.4.4", "https://rdap.example.net/ip/8.8.4.4"),
        ("8.8.4.4", "https://rdap.example.net/ip/8.8.4.4"),
        ("//other.example.net/x", "https://other.example.net/x"),
    ],
)
def test_an_https_url_is_accepted(text: str, url: str) -> None:
    assert str(https_url(text, BASE)) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://rdap.example.net/",
        "ftp://rdap.example.net/",
        "file:///etc/passwd",
        "javascript:x",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://rdap.example.net:8443/",
        "https://rdap.example.net:x/",
        "https://user@rdap.example.net/",
        "https://user:password@rdap.example.net/",
        "https://rdap.example.net@evil.example/",
        "https://rdap.example.net\\@evil.example/",
        "https://rdap.example.net/a b",
        "https://rdap.example.net/\r\nHost: x",
        "https://rdap.example.net/é",
        "https://-a.example/",
        "https://a..example/",
        "https://[",
        "https://rdap.example.net/" + "x" * 5000,
    ],
)
def test_other_urls_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        https_url(text, BASE)


@given(st.text(max_size=60) | st.text(alphabet="htps:/.@[]#?\\%0a", max_size=60).map(lambda text: "https://" + text))
def test_any_text_raises_only_value_errors(text: str) -> None:
    try:
        url = https_url(text, BASE)
    except ValueError:
        return
    assert https_url(str(url)) == url
