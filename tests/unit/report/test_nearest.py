import pytest

from banledger.report.nearest import nearest


@pytest.mark.parametrize(
    ("value", "suggested"),
    [
        ("sshdd", "; did you mean 'sshd'?"),
        ("SSHD", "; did you mean 'sshd'?"),
        ("shell", "; did you mean 'sshd'?"),
        ("shels", "; did you mean 'sshd'?"),
        ("nginx-http", "; did you mean 'nginx'?"),
        ("postfix", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_suggested_or_the_one_with_the_nearest_synonym(value: str, suggested: str) -> None:
    assert nearest(value, ["nginx", "sshd"], {"shells": "sshd", "nginx": "a synonym does not hide a name"}) == suggested
