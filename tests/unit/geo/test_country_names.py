"""Countries by the names that stand in addresses."""

import pytest

from banledger.geo.countries import NAMES
from banledger.geo.country_names import code_of


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("United States", "US"),
        ("UNITED STATES", "US"),
        ("U.S.A.", "US"),
        ("The Netherlands", "NL"),
        ("Korea, Republic of", "KR"),
        ("Côte d'Ivoire", "CI"),
        ("Cote D’Ivoire", "CI"),
        ("Curaçao", "CW"),
        ("Türkiye", "TR"),
        ("Virgin Islands (U.S.)", "VI"),
        ("Bosnia & Herzegovina", "BA"),
        ("Lao People's Democratic Republic", "LA"),
        ("Congo, The Democratic Republic of the", "CD"),
    ],
)
def test_a_country_name_is_found_in_any_spelling(name: str, code: str) -> None:
    assert code_of(name) == code


@pytest.mark.parametrize("name", ["", " ", "Springfield", "EU", "日本", "the", "x" * 100_000])
def test_other_text_is_not_a_country(name: str) -> None:
    assert code_of(name) is None


def test_every_country_that_reports_name_has_that_name() -> None:
    assert {code: code_of(name) for code, name in NAMES.items() if code != "XX"} == {
        code: code for code in NAMES if code != "XX"
    }
