import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import is_valid_address, to_checksum_address

# The examples of EIP-55 itself.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EIP55)
def test_checksum_is_that_of_the_standard(address: str) -> None:
    assert to_checksum_address(address.lower()) == address
    assert is_valid_address(address)
    assert is_valid_address(address.lower())


@given(st.binary(min_size=20, max_size=20), st.integers(0, 39))
def test_one_letter_in_the_wrong_case_is_noticed(raw: bytes, index: int) -> None:
    address = to_checksum_address("0x" + raw.hex())
    swapped = address[: index + 2] + address[index + 2].swapcase() + address[index + 3 :]
    assert is_valid_address(swapped) == (swapped == address or swapped == address.lower())


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "a" * 39, "0x" + "a" * 41, "0X" + "a" * 40, "a" * 40, "0x" + "g" * 40]
)
def test_what_is_no_address(text: str) -> None:
    assert not is_valid_address(text)
    with pytest.raises(ValueError, match="not an address"):
        to_checksum_address(text)
