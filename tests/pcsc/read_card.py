"""Reads the wallet through PC/SC, as any program reads a smart card, and checks what it answers.

    python read_card.py card.jsonl authenticated.jsonl

Two cards are in the reader: slot 0 holds one whose user does nothing, slot 1 one whose user proves
presence at each tap. The files are what the two `nfcwallet-sandbox card --json` print.

Ends with 0 only if every check passed.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

from terminal import PPSE, Card, filled, icc_key, locators, one, purchase, signed_cryptogram, tlvs, within

ATR = bytes.fromhex("3B80800101")
AID = bytes.fromhex("A0000000041010")
# GENERATE AC: an ARQC is asked for, signed.
ARQC_WITH_CDA = 0x90
# An event travels through two processes.
PATIENCE_S = 10


class Tap:
    """One tap up to the last record. What the card says is kept by tag."""

    def __init__(self, test, card, amount_minor):
        self.test, self.card = test, card
        self.known = purchase(amount_minor)
        self.exchanged = []
        ppse = self.ok(*card.select(PPSE))
        test.assertEqual(within(ppse, "6F", "84"), PPSE)
        aid = within(ppse, "6F", "A5", "BF0C", "61", "4F")
        fci = self.ok(*card.select(aid))
        test.assertEqual(within(fci, "6F", "84"), aid)
        self.pdol_data = filled(within(fci, "6F", "A5", "9F38"), self.known)
        options = dict(tlvs(one(self.ok(*card.options(self.pdol_data)), "77")))
        self.aip, self.afl = options["82"], options["94"]
        self.objects, self.static_data = {}, b""
        for file, first, last, signed in locators(self.afl):
            for number in range(first, last + 1):
                self.read(file, number, number < first + signed)
        self.static_data += self.aip

    def ok(self, data, word):
        self.test.assertEqual(f"{word:04X}", "9000")
        self.test.assertLessEqual(len(data), 254)
        self.exchanged.append(data)
        return data

    def read(self, file, number, signed):
        content = one(self.ok(*self.card.record(file, number)), "70")
        if signed:
            self.static_data += content
        for tag, value in tlvs(content):
            self.test.assertNotIn(tag, self.objects, "an object may be there once (EMV Book 3, 10.2)")
            self.objects[tag] = value

    def generate_ac(self):
        """The content of the answer, as a list."""
        self.cdol_data = filled(self.objects["8C"], self.known)
        return one(self.ok(*self.card.generate_ac(ARQC_WITH_CDA, self.cdol_data)), "77")

    def pay(self, ca_keys):
        """A signed ARQC; returns the counter."""
        answer = self.generate_ac()
        self.test.assertEqual([tag for tag, _ in tlvs(answer)][:4], ["9F27", "9F36", "9F4B", "9F10"])
        key = icc_key(self.objects, self.static_data, ca_keys)
        cid, cryptogram = signed_cryptogram(answer, key, self.pdol_data, self.cdol_data, self.known["9F37"])
        self.test.assertEqual((cid, len(cryptogram)), (0x80, 8))
        objects = dict(tlvs(answer))
        # Key index, version 14, results with "CDA performed", and the payment's reference at the end.
        self.issuer_data = objects["9F10"]
        self.test.assertEqual((len(self.issuer_data), self.issuer_data[1]), (26, 0x14))
        self.test.assertEqual(self.issuer_data[2:4], bytes.fromhex("A040"))
        return int.from_bytes(objects["9F36"], "big")


class Log:
    """What a card process says."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def events(self, **wanted):
        """Those with all of these values, in order."""
        # The last line may be half written.
        lines = self.path.read_text(encoding="ascii").split("\n")[:-1]
        return [event for event in map(json.loads, lines) if wanted.items() <= event.items()]

    def only(self, patience_s=PATIENCE_S, **wanted):
        """The one event with these values; waits for it."""
        until = time.monotonic() + patience_s
        while not (found := self.events(**wanted)) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(found) == 1, f"{len(found)} events {wanted}"
        return found[0]


class Checks(unittest.TestCase):
    """Each check begins with a reset."""

    log = None
    authenticated_log = None

    def card(self, slot=0):
        card = Card(slot)
        self.addCleanup(card.close)
        return card

    def refuses(self, command, *words):
        data, word = self.card_now.send(bytes.fromhex(command))
        self.assertEqual(data, b"", command)
        self.assertIn(f"{word:04X}", words, command)

    def ca_keys(self, log):
        return log.only(event="inserted")["ca_keys"]

    def test_the_answer_to_reset_is_a_contactless_cards(self):
        self.assertEqual(self.card().atr(), ATR)

    def test_every_record_of_the_afl_is_there_and_no_object_twice(self):
        tap = Tap(self, self.card(), 12_50)
        for tag in ["57", "5A", "5F24", "8C", "8E", "8F", "90", "9F32", "9F46", "9F47", "9F4A"]:
            self.assertIn(tag, tap.objects)
        self.assertEqual(tap.aip, bytes.fromhex("1B80"))
        pan = tap.objects["5A"].hex().rstrip("f")
        doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(pan))]
        self.assertEqual(sum(d // 10 + d % 10 for d in doubled) % 10, 0, "the check digit of the number")
        self.assertTrue(tap.objects["57"].hex().startswith(pan + "d"))

    def test_a_payment_is_signed_and_its_counter_serves_once(self):
        counters = set()
        for amount in [12_50, 99, 50_00]:
            tap = Tap(self, self.card(), amount)
            counter = tap.pay(self.ca_keys(self.log))
            told = self.log.only(event="complete", atc=counter)
            self.assertEqual((told["amount_minor"], told["currency"]), (amount, 978))
            self.assertEqual(told["reference"], tap.issuer_data[-8:].hex())
            counters.add(counter)
        self.assertEqual(len(counters), 3)

    def test_a_high_amount_asks_for_the_user(self):
        answer = Tap(self, self.card(), 80_00).generate_ac()
        objects = dict(tlvs(answer))
        # An AAC in the clear, and "see phone" (EMV contactless Book C-2, tag DF4B).
        self.assertEqual((objects["9F27"], objects["DF4B"]), (b"\x00", bytes.fromhex("000100")))
        self.assertNotIn("9F4B", objects)
        self.log.only(event="failed", code=10_003)

    def test_a_high_amount_is_paid_once_the_user_has_proved_presence(self):
        log = self.authenticated_log
        for _ in range(2):
            counter = Tap(self, self.card(slot=1), 80_00).pay(self.ca_keys(log))
            self.assertEqual(log.only(event="complete", atc=counter)["amount_minor"], 8_000)

    def test_a_reset_in_the_middle_of_a_tap_loses_it_and_spends_nothing(self):
        card = self.card()
        before = Tap(self, card, 12_50).pay(self.ca_keys(self.log))
        number = self.log.only(event="complete", atc=before)["tap"]
        Tap(self, card, 12_50)
        card.close()
        # Sooner than a terminal's silence, 5 s, would end it.
        self.assertEqual(self.log.only(patience_s=3, event="failed", tap=number + 1)["code"], 19_002)
        after = Tap(self, self.card(), 12_50).pay(self.ca_keys(self.log))
        self.assertEqual(after, before + 1)

    def test_commands_out_of_order_are_refused(self):
        self.card_now = card = self.card()
        for command in ["80A8000002830000", "00B2010C00", "80AE900000", "80CA9F3600"]:
            self.refuses(command, "6985")
        card.select(PPSE)
        self.refuses("80A8000002830000", "6985")
        card.select(AID)
        self.refuses("80AE90002D" + "00" * 45 + "00", "6985")
        tap = Tap(self, card, 12_50)
        self.refuses("80A8000002830000", "6985")
        tap.pay(self.ca_keys(self.log))
        data, word = card.generate_ac(ARQC_WITH_CDA, tap.cdol_data)
        self.assertEqual((data, f"{word:04X}"), (b"", "6985"))

    def test_what_the_card_does_not_know_is_refused_by_name(self):
        self.card_now = card = self.card()
        self.refuses("00A404000E315041592E5359532E444446303100", "6A82")
        self.refuses("00A4040007A000000003101000", "6A82")
        Tap(self, card, 12_50)
        self.refuses("80CADF2000", "6A88")
        for command in ["00C0000000", "0088000000", "0020008000", "8050000000"]:
            self.refuses(command, "6D00")
        for command in ["90A8000000", "A0A4000000", "10B2010C00"]:
            self.refuses(command, "6E00")

    def test_records_outside_the_afl_are_not_found(self):
        tap = Tap(self, self.card(), 12_50)
        named = {(f, n) for f, first, last, _ in locators(tap.afl) for n in range(first, last + 1)}
        for file in range(1, 31):
            for number in range(1, 7):
                _, word = tap.card.record(file, number)
                self.assertEqual(f"{word:04X}", "9000" if (file, number) in named else "6A83", (file, number))

    def test_commands_for_the_reader_reach_the_card_and_do_no_harm(self):
        self.card_now = card = self.card()
        # Get UID, load key, authenticate, read, direct transmit (PC/SC part 3, 3.2.2).
        for command in ["FFCA000000", "FF82000006FFFFFFFFFFFF", "FF860000050100006000", "FFB0000010", "FF00000000"]:
            self.refuses(command, "6E00", "6A81")
        Tap(self, card, 12_50).pay(self.ca_keys(self.log))

    def test_broken_commands_are_refused_and_do_no_harm(self):
        self.card_now = card = self.card()
        # Cut short (vpcd keeps some single bytes for itself), a length that lies, an extended length, more than a short command holds.
        for command in ["FF", "00A404", "00A4", "00A40400FF2050", "00A404000000072050", "00A40400FF" + "AA" * 400]:
            self.refuses(command, "6700", "6A82")
        Tap(self, card, 12_50).pay(self.ca_keys(self.log))

    def test_more_taps_than_the_stock_holds_are_paid_since_it_refills_by_itself(self):
        counters = set()
        for _ in range(25):
            card = self.card()
            # These taps come faster than the service answers: without credentials no application is there.
            until = time.monotonic() + PATIENCE_S
            while card.select(PPSE) == (b"", 0x6A82) and time.monotonic() < until:
                time.sleep(0.05)
            counters.add(Tap(self, card, 1_00).pay(self.ca_keys(self.log)))
            card.close()
        self.assertEqual(len(counters), 25)
        for counter in counters:
            self.log.only(event="complete", atc=counter)

    def test_opensc_reads_the_same(self):
        card = self.card()
        tap = Tap(self, card, 12_50)
        seen = tap.exchanged
        card.close()
        pdol_data = tap.pdol_data
        commands = [
            bytes([0x00, 0xA4, 0x04, 0x00, len(PPSE)]) + PPSE + b"\x00",
            bytes([0x00, 0xA4, 0x04, 0x00, len(AID)]) + AID + b"\x00",
            bytes([0x80, 0xA8, 0x00, 0x00, 2 + len(pdol_data), 0x83, len(pdol_data)]) + pdol_data + b"\x00",
        ]
        for file, first, last, _ in locators(tap.afl):
            commands += [bytes([0x00, 0xB2, number, file << 3 | 4, 0x00]) for number in range(first, last + 1)]
        self.assertIn("Virtual PCD", opensc("--list-readers"))
        self.assertEqual(bytes.fromhex(opensc("--reader", "0", "--atr").strip().replace(":", "")), ATR)
        sent = [word for command in commands for word in ["--send-apdu", command.hex()]]
        said = opensc("--reader", "0", *sent)
        self.assertEqual(said.count("Received (SW1=0x90, SW2=0x00)"), len(commands), said)
        self.assertEqual([answer.hex() for answer in dumps(said)], [answer.hex() for answer in seen])

    def test_cardpeek_finds_the_application_and_its_records_and_nothing_else(self):
        card = self.card()
        records = sum(last - first + 1 for _, first, last, _ in locators(Tap(self, card, 12_50).afl))
        card.close()
        said = cardpeek()
        self.assertIn(f"PPSE contains application #{AID.hex().upper()}", said)
        words = re.findall(r"Recv: ([0-9A-F]{4}) ", said)
        # PPSE, application, processing options, records; it asks for many more.
        self.assertEqual(words.count("9000"), 3 + records, said)
        self.assertGreater(len(words), 50)
        # 6985: at last it asks for a chip's serial number, with nothing selected.
        self.assertLessEqual(set(words), {"9000", "6A82", "6A83", "6A88", "6985"})


def cardpeek():
    """What its EMV script says."""
    with tempfile.TemporaryDirectory() as home:
        pathlib.Path(home, ".cardpeek").mkdir()
        # The first time it asks whether it may write its scripts there.
        cardpeek_runs(home, "os.exit(0)")
        return cardpeek_runs(home, 'ui.question = function() return 1 end; dofile("emv.lua"); os.exit(0)')


def cardpeek_runs(home, script):
    done = subprocess.run(
        ["cardpeek", "--console", "--reader", "pcsc://Virtual PCD 00 00", "--exec", script],
        cwd=home,
        env={**os.environ, "HOME": home},
        input="1\n" * 5,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.stdout


def opensc(*arguments):
    command = ["opensc-tool", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def dumps(said):
    """The answers in opensc-tool's output: hex bytes in the left part of each line, text in the right."""
    for answer in said.split("Received (SW1=0x90, SW2=0x00)")[1:]:
        lines = [re.match(r"((?:[0-9A-F]{2} ){1,16})", line) for line in answer.splitlines()]
        yield bytes.fromhex("".join(line[1] for line in lines if line))


def main():
    Checks.log, Checks.authenticated_log = Log(sys.argv[1]), Log(sys.argv[2])
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Checks)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = len(result.failures) + len(result.errors)
    good = result.testsRun - bad - len(result.skipped)
    print(f"pcsc: {good} checks passed, {bad} failed, {Card.commands} commands")
    return 0 if bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
