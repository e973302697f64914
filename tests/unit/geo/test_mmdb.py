"""Where an address is by the user's own databases: every vendor's layout, and files that are missing, broken or bad."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

from banledger.geo import mmdb
from banledger.geo.mmdb import NOTHING, Files, MmdbPlace, agreed, merged, read, short_name

LAYOUTS: dict[str, tuple[dict[str, Any], MmdbPlace]] = {
    "GeoLite2-Country": (
        {
            "continent": {"code": "NA"},
            "country": {"geoname_id": 6252001, "iso_code": "US", "names": {"en": "United States"}},
            "registered_country": {"iso_code": "DE"},
        },
        MmdbPlace("US", source="GeoLite2-Country"),
    ),
    "GeoIP2-City": (
        {"city": {"names": {"en": "Ashburn"}}, "country": {"iso_code": "US"}, "location": {"latitude": 39.04}},
        MmdbPlace("US", source="GeoIP2-City"),
    ),
    "GeoLite2-ASN": (
        {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
        MmdbPlace(asn=15169, org="GOOGLE"),
    ),
    "DBIP-Country-Lite": ({"country": {"iso_code": "US"}}, MmdbPlace("US", source="DBIP-Country-Lite")),
    "DBIP-ASN-Lite (compat=GeoLite2-ASN)": (
        {"autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC"},
        MmdbPlace(asn=15169, org="Google LLC"),
    ),
    "ipinfo bundle_location_lite.mmdb": (
        {"asn": "AS15169", "as_name": "Google LLC", "as_domain": "google.com", "continent": "North America",
         "continent_code": "NA", "country": "United States", "country_code": "US"},
        MmdbPlace("US", 15169, "Google LLC", "ipinfo-bundle-location-lite.mmdb"),
    ),
    "ipinfo country_asn.mmdb": (
        {"asn": "AS15169", "as_domain": "google.com", "country": "US", "country_name": "United States"},
        MmdbPlace("US", 15169, "google.com", "ipinfo-country-asn.mmdb"),
    ),
    "ip-location-db-country": ({"country_code": "US"}, MmdbPlace("US", source="ip-location-db-country")),
    "ip-location-db-asn": (
        {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
        MmdbPlace(asn=15169, org="GOOGLE"),
    ),
}  # fmt: skip


def country(code: str) -> dict[str, object]:
    return {"country": {"iso_code": code}}


def write(path: Path, records: Mapping[str, object], kind: str = "Test-Country", version: int = 6) -> Path:
    """A database in place of what is there, as geoipupdate does it."""
    writer = MMDBWriter(version, kind, ipv4_compatible=version == 6, int_type="u32")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)  # type: ignore[arg-type]
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    return fresh.replace(path)


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.mmdb"


@pytest.fixture(params=["in memory", "from the file"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are read at once, big ones where they are needed: both in turn."""
    if request.param == "from the file":
        monkeypatch.setattr(mmdb, "_IN_MEMORY_MOST", -1)


@pytest.fixture
def files(path: Path, clock: Clock, reading: None) -> Iterator[Files]:
    """Of one file, which is not there yet."""
    files = Files([path], clock)
    yield files
    files.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# Layouts


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_known_layout_is_read(path: Path, files: Files, kind: str) -> None:
    record, located = LAYOUTS[kind]
    write(path, {"8.8.8.0/24": record, "2001:4860::/32": record}, kind)
    assert files.locate("8.8.8.8") == files.locate("2001:4860:4860::8888") == located
    assert files.locate("9.9.9.9") == files.locate("2620:fe::fe") == NOTHING


def test_a_record_with_only_the_registered_country_has_no_country() -> None:
    assert read({"registered_country": {"iso_code": "AU"}}, "x") == NOTHING


def test_an_ipv6_address_is_unknown_to_a_database_of_ipv4(path: Path, files: Files, clock: Clock) -> None:
    write(path, {"8.8.8.0/24": country("US")}, version=4)
    assert files.locate("2001:4860::1") == NOTHING
    assert files.locate("8.8.8.8").country == "US"


WRONG = [None, True, 1, 1.5, "", "usa", "\x1b[", b"US", [], ["US"], {}, {"iso_code": 7}, {"iso_code": "us"}, {1: 2}]


@pytest.mark.parametrize("value", WRONG)
def test_values_of_a_wrong_type_are_unknown(value: object) -> None:
    assert read(value, "x") == NOTHING
    for key in ("country", "country_code"):
        assert read({key: value}, "x") == NOTHING
    assert read({"autonomous_system_number": 0 if value == 1 else value}, "x") == NOTHING


def test_values_of_a_wrong_type_do_not_disable_a_real_file(path: Path, files: Files) -> None:
    write(path, {"8.8.8.0/24": {"country": 7, "asn": [1]}, "9.9.9.0/24": "US", "1.1.1.0/24": country("AU")})
    assert files.locate("8.8.8.8") == files.locate("9.9.9.9") == NOTHING
    assert files.locate("1.1.1.1").country == "AU"


def test_the_name_of_an_organisation_is_one_line_of_bounded_length() -> None:
    assert read({"as_name": " Evil\x1b[2J\nCorp\u202e \t Ltd"}, "x").org == "Evil[2J Corp Ltd"
    assert len(read({"as_name": "a" * 5000}, "x").org or "") == 200
    assert read({"as_name": "\x00\n", "as_domain": "a.example"}, "x").org == "a.example"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["country", "iso_code", "country_code", "asn", "as_name", "autonomous_system_number"]),
            inner,
        )
    ),
)


@given(junk)
def test_values_of_any_record_have_the_right_type(record: object) -> None:
    located = read(record, "x")
    assert located.country is None or (len(located.country) == 2 and located.country.isupper())
    assert located.asn is None or 0 < located.asn < 2**32
    assert located.org is None or (located.org.isprintable() and len(located.org) <= 200)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GeoLite2-Country", "GeoLite2-Country"),
        ("DBIP-Country-Lite (compat=GeoLite2-Country)", "DBIP-Country-Lite"),
        ("a b|c:d\n~é", "a-b-c-d"),
        ("--..", "mmdb"),
        ("", "mmdb"),
        (None, "mmdb"),
        ("x" * 1000, "x" * 40),
    ],
)
def test_the_name_of_a_database_is_a_short_token(kind: object, name: str) -> None:
    assert short_name(kind) == name


# Several files, networks


def test_the_first_file_with_a_value_gives_it(tmp_path: Path, clock: Clock) -> None:
    asn = {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"}
    paths = [
        write(tmp_path / "asn.mmdb", {"8.8.8.0/24": asn}, "GeoLite2-ASN"),
        write(tmp_path / "a.mmdb", {"8.8.8.0/24": country("US")}, "First"),
        write(
            tmp_path / "b.mmdb", {"8.0.0.0/8": {"country_code": "CA", "asn": "AS3356", "as_name": "Level 3"}}, "Second"
        ),
    ]
    files = Files(paths, clock)
    assert files.locate("8.8.8.8") == MmdbPlace("US", 15169, "GOOGLE", "First")
    assert files.locate("8.9.9.9") == MmdbPlace("CA", 3356, "Level 3", "Second")
    files.close()


def test_without_files_everything_is_unknown(clock: Clock) -> None:
    assert Files([], clock).locate("8.8.8.8") == NOTHING


def test_a_name_is_not_combined_with_another_number() -> None:
    assert merged(MmdbPlace(asn=1), MmdbPlace(asn=2, org="Two")) == MmdbPlace(asn=1)
    assert merged(MmdbPlace(asn=2), MmdbPlace(asn=2, org="Two")) == MmdbPlace(asn=2, org="Two")


def test_a_network_has_the_common_values_of_its_ends(path: Path, files: Files) -> None:
    same = {"asn": "AS15169", "as_name": "Google"}
    write(path, {"8.8.8.0/25": {"country_code": "US", **same}, "8.8.8.128/25": {"country_code": "CA", **same}}, "K")
    assert files.locate("8.8.8.0/25") == MmdbPlace("US", 15169, "Google", "K")
    assert files.locate("8.8.8.0/24") == MmdbPlace(None, 15169, "Google", None)
    assert files.locate("8.8.0.0/16") == NOTHING


def test_an_ipv6_network_has_the_common_values_of_its_ends(path: Path, files: Files) -> None:
    write(path, {"2001:4860::/32": country("US"), "2001:4861::/32": country("CA")}, "K")
    assert files.locate("2001:4860::/32").country == "US"
    assert files.locate("2001:4860::/31") == NOTHING


def test_differing_values_of_two_places_are_unknown() -> None:
    assert agreed(MmdbPlace("US", 1, "A", "x"), MmdbPlace("US", 2, "A", "y")) == MmdbPlace("US", None, "A", "x")


@pytest.mark.parametrize(
    "text", ["", "example.org", "8.8.8", "8.8.8.8/33", "8.8.8.8/x", "8.8.8.8/-1", "::/129", "\0", "é"]
)
def test_an_invalid_address_has_no_place(path: Path, files: Files, text: str) -> None:
    write(path, {"8.8.8.0/24": country("US")})
    assert files.locate(text) == NOTHING


# Files that change


def test_a_file_that_was_replaced_is_opened_again_after_two_seconds(path: Path, files: Files, clock: Clock) -> None:
    write(path, {"8.8.8.0/24": country("US")})
    assert files.locate("8.8.8.8").country == "US"
    write(path, {"8.8.8.0/24": country("CA")})
    clock.now += 1.9
    assert files.locate("8.8.8.8").country == "US"
    clock.now += 0.1
    assert files.locate("8.8.8.8").country == "CA"


def test_a_missing_file_is_ignored_with_one_warning_until_it_appears(
    path: Path, files: Files, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "banledger")
    for _ in range(5):
        clock.now += 10
        assert files.locate("8.8.8.8") == NOTHING
    assert len(warnings(caplog)) == 1
    assert str(path) in warnings(caplog)[0]
    write(path, {"8.8.8.0/24": country("US")})
    clock.now += 10
    assert files.locate("8.8.8.8").country == "US"
    assert caplog.records[-1].getMessage() == f"{path} can be read again"


def test_a_file_that_goes_and_comes_back_unchanged_is_read_again(
    path: Path, files: Files, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, {"8.8.8.0/24": country("US")})
    for _ in range(2):
        assert files.locate("8.8.8.8").country == "US"
        path.rename(path.with_suffix(".away"))
        clock.now += 2
        assert files.locate("8.8.8.8") == NOTHING
        path.with_suffix(".away").rename(path)
        clock.now += 2
    assert files.locate("8.8.8.8").country == "US"
    assert len(warnings(caplog)) == 2


def good_bytes(path: Path) -> bytes:
    return write(path, {f"8.{byte}.0.0/16": country("US") for byte in range(256)}).read_bytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: b"",
        lambda good: b"GIF89a" + bytes(500),
        lambda good: good[:-400],
        lambda good: good[: len(good) // 2],
        lambda good: good[len(good) // 2 :],
        lambda good: good.replace(b"node_count", b"node_c\xffunt"),
        lambda good: b"\xab\xcd\xefMaxMind.com",
        lambda good: b"\xab\xcd\xefMaxMind.com\xff\xff\xff\xff\xff\xff",
        lambda good: b"\xab\xcd\xefMaxMind.com" + b"\xe1" * 5000,
    ],
)
def test_a_broken_file_is_ignored_with_one_warning_until_it_is_replaced(
    path: Path, files: Files, clock: Clock, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    good = good_bytes(path)
    path.write_bytes(spoil(good))
    for _ in range(5):
        assert files.locate("8.8.8.8") == NOTHING
        clock.now += 2
    assert len(warnings(caplog)) == 1
    path.write_bytes(good)
    clock.now += 2
    assert files.locate("8.8.8.8").country == "US"
    assert len(warnings(caplog)) == 1


def test_a_broken_file_does_not_affect_others(path: Path, tmp_path: Path, clock: Clock) -> None:
    path.write_bytes(b"no")
    files = Files([path, write(tmp_path / "b.mmdb", {"8.8.8.0/24": country("US")})], clock)
    assert files.locate("8.8.8.8").country == "US"
    files.close()


def test_a_broken_record_disables_the_file_until_it_changes(
    path: Path, files: Files, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    good = good_bytes(path)
    path.write_bytes(good.replace(b"\x42US", b"\x42\xff\xff"))
    for _ in range(3):
        assert files.locate("8.8.8.8") == NOTHING
        clock.now += 2
    assert len(warnings(caplog)) == 1
    path.write_bytes(good)
    clock.now += 2
    assert files.locate("8.8.8.8").country == "US"


def test_truncated_and_corrupted_files_cause_no_error(path: Path, reading: None) -> None:
    good = write(path, {"8.8.8.0/24": LAYOUTS["GeoIP2-City"][0], "2001:4860::/32": country("US")}).read_bytes()
    for at in range(0, len(good), 7):
        for bad in (
            good[:at],
            good[:at] + b"\xff" + good[at + 1 :],
            good[:at] + bytes([good[at] ^ 0x81]) + good[at + 1 :],
        ):
            path.write_bytes(bad)
            files = Files([path], Clock())
            for address in ("8.8.8.8", "8.8.8.0/24", "2001:4860::1", "1.2.3.4"):
                assert files.locate(address).country in (None, "US")
            files.close()


def test_a_file_truncated_while_open_does_not_kill_the_process(path: Path, reading: None) -> None:
    """Reading a mapped file there would be a SIGBUS: so it is tried in a process of its own."""
    records = {f"8.{byte}.{other}.0/24": country("US") for byte in range(64) for other in range(64)}
    write(path, records)
    program = f"""if True:
        import os
        from pathlib import Path
        from banledger.geo import mmdb
        mmdb._IN_MEMORY_MOST = {mmdb._IN_MEMORY_MOST}
        files = mmdb.Files([Path({str(path)!r})], lambda: 0.0)
        assert files.locate("8.8.8.8").country == "US"
        os.truncate({str(path)!r}, 0)
        for byte in range(64):
            files.locate(f"8.{{byte}}.9.9")
        files.close()
    """
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_path_that_is_not_a_file_is_ignored_without_waiting(path: Path, files: Files, clock: Clock) -> None:
    os.mkfifo(path)
    assert files.locate("8.8.8.8") == NOTHING
    path.unlink()
    path.mkdir()
    clock.now += 2
    assert files.locate("8.8.8.8") == NOTHING


def test_a_file_that_cannot_be_opened_is_tried_again(
    path: Path, files: Files, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import maxminddb

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(path, {"8.8.8.0/24": country("US")})
    with monkeypatch.context() as patch:
        patch.setattr(maxminddb, "open_database", refuse)
        assert files.locate("8.8.8.8") == NOTHING
    clock.now += 2
    assert files.locate("8.8.8.8").country == "US"


def test_closed_files_are_opened_again_when_needed(path: Path, files: Files) -> None:
    write(path, {"8.8.8.0/24": country("US")})
    assert files.locate("8.8.8.8").country == "US"
    files.close()
    assert files.locate("8.8.8.8").country == "US"


def test_many_threads_may_ask_while_files_change(path: Path, files: Files, clock: Clock) -> None:
    def ask(number: int) -> str | None:
        clock.now += 1
        if number % 50 == 0:
            write(path.with_name(f"{number}.mmdb"), {"8.8.8.0/24": country("US")}).replace(path)
        return files.locate("8.8.8.8").country

    write(path, {"8.8.8.0/24": country("US")})
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(400))) == {"US"}


def test_maxminddb_is_imported_when_a_file_is_opened() -> None:
    program = "import sys, banledger.geo.mmdb; sys.exit('maxminddb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
