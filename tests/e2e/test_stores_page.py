"""What docs/stores.md promises of addresses and settings. Its users: see test_acl.py."""

import re
from pathlib import Path

from banledger.settings import TABLE
from banledger.stores.connect import Access, _address, is_server
from banledger.stores.redis.errors import _PROBLEMS

PAGE = (Path(__file__).parents[2] / "docs/stores.md").read_text()


def test_every_address_of_the_page_is_valid() -> None:
    found = re.findall(r"`((?:rediss?|valkeys?|unix)://[\w.@:/?=-]+[\w])`", PAGE)
    assert len(found) >= 4
    for store in found:
        assert is_server(store)
        assert _address(store, Access())["db"] == 0


def test_every_setting_of_the_page_exists() -> None:
    names = set(re.findall(r"^(\w+) = ", PAGE, re.MULTILINE)) | set(re.findall(r"`(tls_\w+|password\w*)`", PAGE))
    assert names <= {setting.name for setting in TABLE}
    assert {"store", "password_file", "tls_ca", "tls_cert", "tls_key"} <= names


def test_every_server_error_is_in_the_stores_page() -> None:
    table = PAGE.partition("| the line says |")[2].partition("\n\n")[0]
    words = [word for row in table.splitlines()[2:] for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    for _, what, _ in _PROBLEMS:
        assert any(word in what for word in words), what
