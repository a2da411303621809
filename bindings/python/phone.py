"""A phone in Python, over the library that apps ship: docs/phone-protocol.md.

A driver (the scenario runner) starts it, speaks to it in lines, and plays the terminal.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time

import nfcwallet as w
from hosts import Behaviour, Device, Ears, KeyStore, Permit, Proxy, Server, camel

LONG = {"connect", "disconnect", "sync", "activate", "confirm", "replenish", "lock", "unlock", "delete"}

NAME, FAULT = str, {"none", "fail", "hang", "panic", "locked", "invalidated"}
#: The fields of each call that has some, and what each holds: a type, or one of these words.
NEEDED = {
    "connect": {"user": NAME}, "apdu": {"hex": NAME}, "reference": {"hex": NAME}, "transactions": {"limit": int},
    "hold": {"request_type": NAME, "nth": int, "when": {"before", "after"}},
}
OPTIONAL = {
    "activate": {"silent": bool}, "hold": {"for_ms": int}, "clock": {"advance_ms": int, "wall_offset_ms": int},
    "host": {
        "permit": NAME, "nfc_on": bool, "default_payment_app": bool, "screen_on": bool, "unlocked": bool, "safe": bool,
        "online": bool, "device": FAULT, "key_store": FAULT, "proxy": FAULT, "listener": FAULT,
    },
}
writing = threading.Lock()


def write(line):
    with writing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def variant(value):
    """The name of a variant that has fields."""
    return type(value).__name__.rpartition(".")[2]


def error_line(error):
    return {"code": error.code(), "text": error.text(), "advice": camel(error.advice().name)}


def misuse(text):
    return {"code": 10_011, "text": text, "advice": "ReportBug"}


def check(request):
    """Raises for a field that is missing or holds what it cannot."""
    call = request["call"]
    if not isinstance(call, str):
        raise TypeError("the call is no name")
    needed, optional = NEEDED.get(call, {}), OPTIONAL.get(call, {})
    for name, kind in (needed | optional).items():
        value = request[name] if name in needed else request.get(name)
        if value is None and name in optional:
            continue
        if not (value in kind if isinstance(kind, set) else type(value) is kind):
            raise ValueError(f"{name} cannot be {value!r}")


def status(found):
    return {"status": found.code(), "page": camel(found.page().name)}


def suspenders(parties):
    return {"suspended_by": [party.name.lower() for party in parties]}


def transaction(record):
    of, outcome = record.transaction, record.outcome
    is_complete = outcome.is_complete()
    return {
        "amount": of.amount, "amount_minor": of.amount_minor, "currency": of.currency,
        "kind": variant(of.kind), "outcome": "complete" if is_complete else "failed",
        "code": 10_000 if is_complete else outcome.code, "atc": outcome.atc if is_complete else None,
    }


class Phone:
    """The calls of a driver, done with the wallet."""

    def __init__(self, options, loop):
        self.loop = loop
        self.behaviour = Behaviour(write)
        self.behaviour.change({"key_store": options.key_store})
        self.server = Server(options.mpp)
        if options.user:
            self.log_in(options.user)
        self.ears = Ears(self.behaviour)
        self.clock = w.TestClock() if options.test_clock else None
        self.wallet = self.behaviour.wallet = self.open(options)

    def open(self, options):
        host = w.Host(
            proxy=Proxy(self.server, self.behaviour),
            key_store=KeyStore(os.path.join(options.directory, "hardware"), self.behaviour),
            device=Device(self.behaviour), permit=Permit(self.behaviour),
            transactions=self.ears, activation=self.ears, monitor=self.ears,
        )
        tap = options.tap_deadline_ms
        limits = [limit.split(":") for limit in options.password_free]
        config = w.WalletConfig(
            data_directory=os.path.join(options.directory, "wallet"), mpp_id="sandbox-mpp",
            service_trust_key=bytes.fromhex(options.trust_key), history_limit=options.history_limit,
            support_transit=options.transit, support_lock_screen_pay=options.locked_transit,
            password_free_limits=[w.CvmLimit(currency=int(of), amount_minor=int(minor)) for of, minor in limits],
            deadlines=w.Deadlines(proxy_ms=options.proxy_deadline_ms, key_store_ms=options.key_store_deadline_ms,
                                  device_state_ms=tap, permit_ms=tap),
        )
        return w.Wallet.with_test_clock(config, host, self.clock) if self.clock else w.Wallet(config, host)

    def log_in(self, user):
        """Being offline is no obstacle: the wallet connects locally and catches up later."""
        try:
            if not self.behaviour.state["online"]:
                raise w.HostError.Offline()
            self.server.log_in(user)
        except w.HostError:
            self.server.token = None

    def hear(self, line):
        """Nothing is swallowed: a line (bytes) that is no request is said to be none."""
        try:
            request = json.loads(line.decode())
            if type(request["id"]) is not int or request["id"] < 0:
                raise ValueError("the id is no number from 0 on")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            write({"event": "not_understood", "reason": repr(error)})
        else:
            self.obey(request)

    def obey(self, request):
        try:
            check(request)
            if request["call"] in LONG:
                asyncio.run_coroutine_threadsafe(self.answer_later(request), self.loop)
            else:
                write({"id": request["id"], "ok": self.short(request)})
        except Exception as error:
            self.refuse(request, error)

    async def answer_later(self, request):
        try:
            write({"id": request["id"], "ok": await self.long(request)})
        except Exception as error:
            self.refuse(request, error)

    def refuse(self, request, error):
        """The wallet's error, or else the driver's own mistake."""
        is_wallets = isinstance(error, w.WalletError)
        write({"id": request["id"], "error": error_line(error) if is_wallets else misuse(repr(error))})

    async def long(self, request):
        wallet = self.wallet
        match request["call"]:
            case "connect":
                await self.loop.run_in_executor(None, self.log_in, request["user"])
                found = await wallet.connect(request["user"])
                codes = {"service": found.service, "recovered_from": found.recovered_from}
                return status(found.status) | {name: error and error.code() for name, error in codes.items()}
            case "disconnect":
                await wallet.disconnect()
                self.server.token = None
                return {}
            case "sync":
                return status(await wallet.sync_token())
            case "activate":
                mode = w.ActivationMode.SILENT if request.get("silent") else w.ActivationMode.MANUAL
                await wallet.activate(mode, self.ears)
                return status(wallet.token_status())
            case "confirm":
                await wallet.confirm_activation(self.ears)
                return status(wallet.token_status())
            case "replenish":
                return {"count": await wallet.replenish()}
            case "lock":
                return suspenders(await wallet.lock())
            case "unlock":
                return suspenders(await wallet.unlock())
            case "delete":
                await wallet.delete_token()
                return {}

    def short(self, request):
        wallet = self.wallet
        match request["call"]:
            case "apdu":
                apdu, started = bytes.fromhex(request["hex"]), time.perf_counter()
                answer = wallet.process_apdu(apdu)
                return {"hex": answer.hex().upper(), "micros": int((time.perf_counter() - started) * 1e6)}
            case "status":
                return status(wallet.token_status())
            case "credentials":
                stock = wallet.credentials()
                names = ("usable", "threshold", "target", "next_expiry_ms", "retry_in_ms")
                return {name: getattr(stock, name) for name in names}
            case "authenticate":
                return {"window_ms": wallet.authenticate(w.CdcvmMethod.FINGERPRINT)}
            case "transactions":
                return {"transactions": [transaction(one) for one in wallet.transactions(None, request["limit"]).transactions]}
            case "readiness":
                report = wallet.readiness()
                blocking = [camel(variant(one.condition)) for one in report.blocking]
                return {"ready": report.is_ready, "blocking": blocking}
            case "host":
                self.behaviour.change(request)
            case "hold":
                self.behaviour.hold = request
            case "clock":
                if self.clock is None:
                    raise ValueError("this phone has the real clock")
                self.clock.advance(request.get("advance_ms", 0))
                if request.get("wall_offset_ms") is not None:
                    self.clock.set_wall_offset(request["wall_offset_ms"])
            case "reference":
                wallet.set_transaction_reference(bytes.fromhex(request["hex"]))
            case "field_lost":
                wallet.field_lost(w.FieldLoss.LINK_LOST)
            case "cancel_authentication" | "network_available" | "prewarm" | "suspend" | "shutdown" as name:
                getattr(wallet, name)()
            case other:
                raise ValueError(f"unknown call {other}")
        return {}


def options():
    parser = argparse.ArgumentParser()
    for name in ("directory", "mpp", "trust-key"):
        parser.add_argument(f"--{name}", required=True)
    for name, value in (("proxy", 15_000), ("key-store", 5_000), ("tap", 100)):
        parser.add_argument(f"--{name}-deadline-ms", type=int, default=value)
    for name in ("test-clock", "transit", "locked-transit"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--log-file")
    parser.add_argument("--key-store", default="none")
    parser.add_argument("--history-limit", type=int, default=1_000)
    parser.add_argument("--password-free", action="append", default=[])
    return parser.parse_args()


class LogFile(w.LogSink):
    """Everything that the library logs."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")

    def on_logs(self, batch):
        for record in batch.records:
            self.file.write(f"{record.level.name} {record.target}: {record.text}\n")
        self.file.flush()
        return w.Delivered.DONE


def main():
    started = time.perf_counter()
    chosen = options()
    if chosen.log_file:
        w.set_log_sink(w.LogLevel.TRACE, LogFile(chosen.log_file))
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    w.uniffi_set_event_loop(loop)
    try:
        phone = Phone(chosen, loop)
    except w.WalletError as error:
        write({"event": "not_opened", "error": error_line(error)})
        return 1
    millis = (time.perf_counter() - started) * 1_000
    write({"event": "ready", "status": phone.wallet.token_status().code(), "millis": millis})
    for line in sys.stdin.buffer:
        phone.hear(line)
    return 0


code = main()
sys.stdout.flush()
# Interfaces that hang keep threads: nothing waits for them.
os._exit(code)
