from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE, is_placeholder


def test_placeholder_is_recognised_and_real_ones_are_not() -> None:
    assert is_placeholder(PLACEHOLDER_SIGNATURE)
    assert is_placeholder("")
    assert not is_placeholder("EqQBCkYIARgCKkD")
