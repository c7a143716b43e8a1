import pytest

from mmtrace.patching.versions import installed_version, satisfies


@pytest.mark.parametrize(
    ("version", "bounds", "within"),
    [
        ("2.31.0", ">=2.31,<3", True),
        ("2.31", ">=2.31.0", True),
        ("2.9", ">=2.10", False),
        ("3.0", "<3", False),
        ("3.0rc1", "<3", False),
        ("2.99", "<3", True),
        ("1.85.1", "!=1.85.1", False),
        ("1.85.1", "==1.85.1", True),
        ("1.85.0", "==1.85", True),
        ("1!2.0", ">=2", True),
        ("v2.1.post3+local", ">2,<=2.1", True),
        ("nobody knows", ">=2", True),
        ("", ">=2", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_number_by_number(version, bounds, within):
    assert satisfies(version, bounds) is within


def test_malformed_bounds_say_what_a_bound_is():
    with pytest.raises(ValueError, match="a bound is an operator"):
        satisfies("1.0", "~=1.0")


def test_the_version_of_what_is_not_installed_is_empty():
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("a-distribution-of-nobody") == ""
