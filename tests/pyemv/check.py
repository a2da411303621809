"""Computes every cryptogram of our card anew with pyemv, as an issuer would.

Reads the JSON lines that `cryptograms` wrote (README.md says what they hold) and compares. Everything
starts at the issuer's master key: nothing that our code derived goes into a cryptogram here.

    python -W ignore check.py target/pyemv/cryptograms.jsonl

Ends with 0 only if all values are equal and enough of each kind were compared.
"""

import collections
import json
import pathlib
import sys

from pyemv import ac, cvn, cvv, kd

# No run with fewer comparisons of a kind counts.
AT_LEAST = {
    "session key, option A": 400,
    "session key, option B": 300,
    "ARQC, signed": 300,
    "ARQC, in the clear": 300,
    "ARQC, by MasterCardCVN20": 400,
    "response cryptogram, approved": 500,
    "response cryptogram, declined": 50,
    "AAC, not the session key's": 200,
    "a changed input gives another ARQC": 1000,
    "CVC3 track 1, option A": 500,
    "CVC3 track 1, option B": 300,
    "CVC3 track 2, option A": 600,
    "CVC3 track 2, option B": 400,
    "digits of the built track 1": 1000,
    "digits of the built track 2": 1000,
    "declined, no CVC3": 100,
}

# The parts of the cryptogram's input, in order; the card verification results follow.
FIELDS = ["9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37", "82", "9F36"]

# Key derivation by option A up to this many digits, by option B above.
OPTION_A_DIGITS = 16


class Tally:
    """How many comparisons of each kind held, and which did not."""

    def __init__(self):
        self.held = collections.Counter()
        self.failed = []

    def compare(self, kind, ours, theirs, line):
        self.require(kind, ours == theirs, f"ours {ours.hex()}, pyemv's {theirs.hex()}", line)

    def require(self, kind, holds, words, line):
        if holds:
            self.held[kind] += 1
        else:
            self.failed.append(f"{kind}: {words}: {json.dumps(line)}")


def main():
    tally = Tally()
    count = 0
    lines = read(pathlib.Path(sys.argv[1]))
    checks = {"transaction": check_transaction, "checksum": check_checksum}
    for line in lines[:-1]:
        checks[line["kind"]](line, tally)
        count += 1
    end = lines[-1]
    if end["kind"] != "end" or end["lines"] != count:
        tally.failed.append("the file is cut: its last line does not count the lines before it")
    for kind, least in AT_LEAST.items():
        if tally.held[kind] < least:
            tally.failed.append(f"{kind}: only {tally.held[kind]} held, wanted {least} and more")
    for kind, held in sorted(tally.held.items()):
        print(f"{held:6}  {kind}")
    for words in tally.failed[:20]:
        print(f"FAILED {words}")
    arqcs = tally.held["ARQC, signed"] + tally.held["ARQC, in the clear"]
    checksums = sum(held for kind, held in tally.held.items() if kind.startswith("CVC3"))
    seed = end.get("seed")
    print(f"pyemv: {arqcs} cryptograms and {checksums} checksums equal, {len(tally.failed)} complaints, seed {seed}")
    return 1 if tally.failed else 0


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def check_transaction(line, tally):
    issuer_master_key = bytes.fromhex(line["issuer_master_key"])
    pan, sequence = line["pan"], line["pan_sequence"]
    values = {tag: bytes.fromhex(line["input"][tag]) for tag in FIELDS}
    iad, cid, ours = (bytes.fromhex(line[name]) for name in ("iad", "cid", "cryptogram"))
    # Cryptogram version 14: common session key, no counters in the input.
    tally.require("cryptogram version", iad[1] == 0x14, f"is {iad[1]:02X}", line)
    results = iad[2:8]

    session_key, option = derive(issuer_master_key, pan, sequence, values["9F36"])
    tally.compare(f"session key, option {option}", bytes.fromhex(line["session_key"]), session_key, line)

    data = b"".join(values[tag] for tag in FIELDS) + results
    theirs = ac.generate_ac(session_key, data, ac.PaddingType.EMV, 8)
    if cid == b"\x00":
        # A decline is made under a random key: whoever sees it learns nothing of the credential.
        tally.require("AAC, not the session key's", ours != theirs, "is the session key's", line)
        tally.require("AAC, no response", line["response_cryptogram"] is None, "has a response", line)
        return
    tally.require("CID of an ARQC", cid == b"\x80", cid.hex(), line)
    tally.compare("ARQC, signed" if line["signed"] else "ARQC, in the clear", ours, theirs, line)
    if option == "A":
        tally.compare("ARQC, by MasterCardCVN20", ours, by_version(issuer_master_key, line, values, results), line)
    code = bytes.fromhex(line["response_code"])
    response = ac.generate_arpc_1(session_key, ours, code)
    decision = {b"00": "approved", b"05": "declined"}[code]
    tally.compare(f"response cryptogram, {decision}", bytes.fromhex(line["response_cryptogram"]), response, line)
    # The comparison can fail: any other input has another cryptogram.
    place = int.from_bytes(ours, "big") % len(data)
    changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    other = ac.generate_ac(session_key, changed, ac.PaddingType.EMV, 8)
    tally.require("a changed input gives another ARQC", ours != other, "is the same", line)


def derive(issuer_master_key, pan, sequence, counter):
    """The session key of one counter, and by which option the card's master key derives."""
    option, master_key = derive_master_key(issuer_master_key, pan, sequence)
    return kd.derive_common_sk(master_key, counter + bytes(6)), option


def derive_master_key(issuer_master_key, pan, sequence):
    if len(pan) <= OPTION_A_DIGITS:
        return "A", kd.derive_icc_mk_a(issuer_master_key, pan, sequence)
    return "B", kd.derive_icc_mk_b(issuer_master_key, pan, sequence)


def by_version(issuer_master_key, line, values, results):
    """The same by pyemv's class for this cryptogram version; its other two keys are not used."""
    issuer = cvn.MasterCardCVN20(
        issuer_master_key, issuer_master_key, issuer_master_key, line["pan"], line["pan_sequence"]
    )
    tags = {f"tag_{tag.lower()}": value for tag, value in values.items()}
    return issuer.generate_ac(**tags, cvr=results)


def check_checksum(line, tally):
    """COMPUTE CRYPTOGRAPHIC CHECKSUM: the CVC3 of each track, and its digits in the track."""
    if line["track2"] is None:
        tally.require("declined, no CVC3", line["track1"] is None, "has a CVC3 of track 1", line)
        return
    issuer_master_key = bytes.fromhex(line["issuer_master_key"])
    option, key = derive_master_key(issuer_master_key, line["pan"], line["pan_sequence"])
    counter, number = bytes.fromhex(line["atc"]), bytes.fromhex(line["unpredictable_number"])
    for name, track in (("track 1", line["track1"]), ("track 2", line["track2"])):
        if track is None:
            continue
        theirs = cvv.generate_cvc3(key, bytes.fromhex(track["template"]), counter, number)
        ours = bytes.fromhex(track["cvc3"])
        tally.compare(f"CVC3 {name}, option {option}", ours, int(theirs).to_bytes(2, "big"), line)
        # An issuer sees no more than the digits that the terminal wrote into the track.
        places = ones(bytes.fromhex(track["places"]))
        received = "".join(track["built"].rstrip("F")[-place] for place in reversed(places))
        wanted = theirs.zfill(len(places))[-len(places) :]
        tally.require(f"digits of the built {name}", received == wanted, f"{received}, pyemv's {wanted}", line)


def ones(bit_map):
    """The places of a bit map, from the right, counted from 1."""
    number = int.from_bytes(bit_map, "big")
    return [place + 1 for place in range(8 * len(bit_map)) if number >> place & 1]


if __name__ == "__main__":
    sys.exit(main())
