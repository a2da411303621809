"""A terminal in few lines: the PC/SC connection, TLV and data object lists, certificates and CDA.

Written for the checks of read_card.py, from EMV Books 2 and 3; it shares nothing with the Rust code.
"""

import hashlib
import time

from smartcard.CardConnection import CardConnection
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.scard import SCARD_RESET_CARD
from smartcard.System import readers

PPSE = b"2PAY.SYS.DDF01"
# How long pcscd may take to find a reader and a card in it.
PATIENCE_S = 20


class Card:
    """A connection to the card in one slot. Closing it resets the card: the field is lost."""

    commands = 0

    def __init__(self, slot):
        self.connection = connect(slot)

    def atr(self):
        return bytes(self.connection.getATR())

    def send(self, command):
        """Data and status word."""
        data, sw1, sw2 = self.connection.transmit(list(command))
        Card.commands += 1
        return bytes(data), sw1 << 8 | sw2

    def select(self, name):
        return self.send(bytes([0x00, 0xA4, 0x04, 0x00, len(name)]) + name + b"\x00")

    def options(self, pdol_data):
        body = bytes([0x83, len(pdol_data)]) + pdol_data
        return self.send(bytes([0x80, 0xA8, 0x00, 0x00, len(body)]) + body + b"\x00")

    def record(self, file, number):
        return self.send(bytes([0x00, 0xB2, number, file << 3 | 4, 0x00]))

    def generate_ac(self, kind, data):
        return self.send(bytes([0x80, 0xAE, kind, 0x00, len(data)]) + data + b"\x00")

    def close(self):
        self.connection.disconnect()


def connect(slot):
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            reader = next((each for each in readers() if str(each).endswith(f" {slot:02X}")), None)
            if reader is None:
                raise NoCardException(f"no reader has a slot {slot}", 0)
            connection = reader.createConnection()
            connection.connect(CardConnection.T1_protocol, disposition=SCARD_RESET_CARD)
            return connection
        except (NoCardException, CardConnectionException):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def tlvs(data):
    """The objects of one level, in order; every length is definite and as short as can be."""
    found = []
    while data:
        size = 1
        if data[0] & 0x1F == 0x1F:
            while data[size] & 0x80:
                size += 1
            size += 1
        tag, rest = data[:size], data[size:]
        length, rest = rest[0], rest[1:]
        if length > 0x80:
            width = length & 0x7F
            length, rest = int.from_bytes(rest[:width], "big"), rest[width:]
            assert length >= 1 << 8 * (width - 1) and (width > 1 or length >= 0x80), "a length in long form"
        assert length <= len(rest), "an object longer than what holds it"
        found.append((tag.hex().upper(), rest[:length]))
        data = rest[length:]
    return found


def one(data, tag):
    """The value of the only object, which has this tag."""
    [(found, value)] = tlvs(data)
    assert found == tag, f"{found} where {tag} was expected"
    return value


def within(data, *path):
    """The value at the end of a path of tags."""
    for tag in path:
        [data] = [value for found, value in tlvs(data) if found == tag]
    return data


def filled(dol, values):
    """What a data object list asks for; unknown values are zeros (EMV Book 3, 5.4)."""
    out = b""
    while dol:
        size = 2 if dol[0] & 0x1F == 0x1F else 1
        tag, length = dol[:size].hex().upper(), dol[size]
        value = values.get(tag, b"").rjust(length, b"\x00")
        assert len(value) == length, f"{tag} has {length} bytes in this list"
        out += value
        dol = dol[size + 1 :]
    return out


def locators(afl):
    """File, first and last record, and how many are signed (EMV Book 3, 10.2)."""
    assert afl and len(afl) % 4 == 0, "an AFL of whole entries"
    for at in range(0, len(afl), 4):
        file, first, last, signed = afl[at : at + 4]
        assert file & 7 == 0 and 1 <= file >> 3 <= 30, "a file from 1 to 30"
        assert 1 <= first <= last and signed <= last - first + 1, "records in order"
        yield file >> 3, first, last, signed


def purchase(amount_minor):
    """What the terminal knows of a purchase in euros, by tag."""
    exceeded = 0x80 if amount_minor > 5_000 else 0x00
    digits = lambda number, size: bytes.fromhex(f"{number:0{2 * size}d}")
    return {
        "9F02": digits(amount_minor, 6),
        "9F03": digits(0, 6),
        "9F1A": digits(276, 2),
        "95": bytes(5),
        "5F2A": digits(978, 2),
        "9A": bytes.fromhex(time.strftime("%y%m%d")),
        "9C": b"\x00",
        "9F37": hashlib.sha256(str(time.time_ns()).encode()).digest()[:4],
        "9F35": b"\x21",
        "9F34": bytes.fromhex("010002" if exceeded else "3F0002"),
        "9F15": digits(5411, 2),
        "9F1D": bytes([0xCC, exceeded, 0x80, 0, 0, 0, 0, 0]),
    }


def recovered(signed, modulus, exponent, head):
    """What was signed: between the header, named by `head`, and the trailer (EMV Book 2, A2.1)."""
    size = len(modulus)
    assert len(signed) == size, f"a signature of {len(signed)} bytes under a key of {size}"
    number = pow(int.from_bytes(signed, "big"), int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    block = number.to_bytes(size, "big")
    assert block[:2] == bytes([0x6A, head]) and block[-1] == 0xBC, "the header or the trailer of a signature"
    return block


def hashes_to(block, more):
    """The block's hash is that of its own middle and of `more`."""
    return hashlib.sha1(block[1:-21] + more).digest() == block[-21:-1]


def icc_key(objects, static_data, ca_keys):
    """The card's public key, certified from the authority down (EMV Book 2, 6.3 and 6.4)."""
    [ca] = [key for key in ca_keys if bytes.fromhex(key["index"]) == objects["8F"]]
    modulus, exponent = bytes.fromhex(ca["modulus"]), bytes.fromhex(ca["exponent"])
    issuer = recovered(objects["90"], modulus, exponent, 0x02)
    remainder = objects.get("92", b"")
    assert hashes_to(issuer, remainder + objects["9F32"]), "the hash of the issuer's certificate"
    pan = objects["5A"].hex().rstrip("f")
    assert pan.startswith(issuer[2:6].hex().rstrip("f")), "the issuer's certificate is for other cards"
    modulus = (issuer[15:-21] + remainder)[: issuer[13]]

    card = recovered(objects["9F46"], modulus, objects["9F32"], 0x04)
    remainder = objects.get("9F48", b"")
    assert hashes_to(card, remainder + objects["9F47"] + static_data), "the hash of the card's certificate"
    assert card[2:12].hex().rstrip("f") == pan, "the card's certificate is another card's"
    return (card[21:-21] + remainder)[: card[19]], objects["9F47"]


def signed_cryptogram(answer, key, pdol_data, cdol_data, unpredictable_number):
    """CID and cryptogram out of the signature over a GENERATE AC (EMV Book 2, 6.6.2)."""
    objects = dict(tlvs(answer))
    block = recovered(objects["9F4B"], *key, 0x05)
    assert hashes_to(block, unpredictable_number), "the hash of the signature"
    assert block[2] == 0x01 and block[3] == 1 + block[4] + 1 + 8 + 20, "the length of the dynamic data"
    dynamic = block[5 + block[4] : 4 + block[3]]
    cid, cryptogram, digest = dynamic[:1], dynamic[1:9], dynamic[9:29]
    others = b""
    for tag, value in tlvs(answer):
        if tag != "9F4B":
            assert len(value) < 0x80
            others += bytes.fromhex(tag) + bytes([len(value)]) + value
    assert hashlib.sha1(pdol_data + cdol_data + others).digest() == digest, "the hash of the transaction's data"
    assert cid == objects["9F27"], "the signed CID is the one in the clear"
    return cid[0], cryptogram
