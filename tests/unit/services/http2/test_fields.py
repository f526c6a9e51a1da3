"""Header compression: the examples of RFC 7541, and another implementation both ways."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.http2 import fields
from hydro_services.http2.fields import Field, HpackDecoder
from hydro_services.http2.h2_frames import Code, ConnectionFault

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-:", min_size=1, max_size=12)
VALUES = st.text(st.characters(max_codepoint=255), max_size=200)
LISTS = st.lists(st.tuples(NAMES | st.sampled_from([":path", "te", "user-agent"]), VALUES))


def decoded(*blocks: str) -> list[list[Field]]:
    decoder = HpackDecoder()
    return [decoder.decode(bytes.fromhex(block)) for block in blocks]


COMMON = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
FIRST = [*COMMON, (":authority", "www.example.com")]
SECOND = [*FIRST, ("cache-control", "no-cache")]
THIRD = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
]


@pytest.mark.parametrize(
    ("block", "field"),
    [
        pytest.param(
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            ("custom-key", "custom-header"),
            id="C.2.1 literal with indexing",
        ),
        pytest.param(
            "040c2f73616d706c652f70617468",
            (":path", "/sample/path"),
            id="C.2.2 literal without indexing",
        ),
        pytest.param(
            "100870617373776f726406736563726574",
            ("password", "secret"),
            id="C.2.3 literal never indexed",
        ),
        pytest.param("82", (":method", "GET"), id="C.2.4 indexed"),
    ],
)
def test_single_fields_of_the_rfc_are_read(block: str, field: Field) -> None:
    assert decoded(block) == [[field]]


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(
            (
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ),
            id="C.3 plain",
        ),
        pytest.param(
            (
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ),
            id="C.4 Huffman",
        ),
    ],
)
def test_requests_of_the_rfc_are_read_with_their_table(blocks: tuple[str, ...]) -> None:
    assert decoded(*blocks) == [FIRST, SECOND, THIRD]


def test_responses_of_the_rfc_evict_from_a_small_table() -> None:
    date, later = "Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"
    place = ("location", "https://www.example.com")
    cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
    private = ("cache-control", "private")
    blocks = (
        # The table of 256 bytes, set as an update of its size (C.6).
        "3fe101" + "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29"
        "ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b3"
        "35dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    )
    assert decoded(*blocks) == [
        [(":status", "302"), private, ("date", date), place],
        [(":status", "307"), private, ("date", date), place],
        [
            (":status", "200"),
            private,
            ("date", later),
            place,
            ("content-encoding", "gzip"),
            ("set-cookie", cookie),
        ],
    ]


@given(st.lists(LISTS, max_size=5), st.booleans())
def test_blocks_of_another_encoder_are_read(lists: list[list[Field]], huffman: bool) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    for each in lists:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in each]
        assert decoder.decode(encoder.encode(raw, huffman=huffman)) == each


@given(LISTS)
def test_another_decoder_reads_our_blocks(found: list[Field]) -> None:
    read = hpack.Decoder(1 << 24).decode(fields.encode_block(found), raw=True)
    assert [(n.decode("latin-1"), v.decode("latin-1")) for n, v in read] == found


@given(st.integers(0, 40_000))
def test_text_of_any_length_comes_back(size: int) -> None:
    found = [("name", "v" * size)]
    assert HpackDecoder().decode(fields.encode_block(found)) == found


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("80", id="index 0"),
        pytest.param("be", id="an index beyond the table"),
        pytest.param("3fe21f", id="a table over the limit"),
        pytest.param("8220", id="an update of the size that is not first"),
        pytest.param("400a6375", id="a text cut short"),
        pytest.param("40", id="a field cut short"),
        pytest.param("00017883ffffff", id="Huffman padding that is too long"),
        pytest.param("0001788100", id="Huffman padding that is not ones"),
        pytest.param("ffffffffffffffff0f", id="an integer without end"),
    ],
)
def test_malformed_block_ends_the_connection(block: str) -> None:
    with pytest.raises(ConnectionFault) as caught:
        decoded(block)
    assert caught.value.code is Code.COMPRESSION_ERROR


def test_short_block_that_names_a_long_field_many_times_is_refused() -> None:
    decoder = HpackDecoder()
    decoder.decode(hpack.Encoder().encode([("x", "v" * 4000)], huffman=False))
    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(b"\xbe" * 1000)
    assert caught.value.code is Code.ENHANCE_YOUR_CALM


@given(st.binary(max_size=300))
def test_any_bytes_are_fields_or_a_fault(block: bytes) -> None:
    decoder = HpackDecoder()
    try:
        found = decoder.decode(block)
    except ConnectionFault:
        return
    assert all(isinstance(text, str) for field in found for text in field)


@given(st.lists(st.binary(max_size=100)))
def test_table_never_outgrows_its_limit(blocks: list[bytes]) -> None:
    decoder = HpackDecoder()
    for block in blocks:
        try:
            decoder.decode(block)
        except ConnectionFault:
            return
        held = sum(len(name) + len(value) + 32 for name, value in decoder._table)
        assert held <= fields.TABLE_SIZE
