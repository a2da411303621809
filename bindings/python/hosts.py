"""The app's side of a phone: a device in software that misbehaves on demand, and its way to the servers."""

import asyncio
import http.client
import json
import os
import threading
import time
from pathlib import Path

import nfcwallet as w
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def camel(name):
    """`LOG_IN` as Rust writes it: `LogIn`."""
    return "".join(part.capitalize() for part in name.split("_"))


class Behaviour:
    """How the host behaves, as the driver told it; one for all interfaces."""

    def __init__(self, tell):
        self.tell = tell
        self.wallet = None
        self.changed = threading.Condition()
        self.untold = None
        self.hold = None
        self.state = {
            "permit": "proceed", "nfc_on": True, "default_payment_app": True, "screen_on": True, "unlocked": True,
            "safe": True, "online": True, "device": "none", "key_store": "none", "proxy": "none", "listener": "none",
        }

    def change(self, changes):
        with self.changed:
            self.state.update({name: value for name, value in changes.items() if name in self.state})
            self.changed.notify_all()

    def misbehave(self, interface):
        fault = self.state[interface]
        if fault == "hang":
            time.sleep(3_600)
        if fault == "panic":
            raise RuntimeError("as told")
        if fault != "none":
            raise w.HostError.Failed("as told")

    def event(self, name, **fields):
        """Tells the driver, unless the listener is to misbehave. A tap whose start was lost is lost whole."""
        with self.changed:
            self.changed.wait_for(lambda: self.state["listener"] != "hang")
            broken = self.state["listener"] != "none"
            if name == "start":
                self.untold = fields["tap"] if broken else None
            elif name in ("complete", "failed") and self.untold == fields["tap"]:
                raise w.HostError.Failed("as told")
        self.misbehave("listener")
        self.tell({"event": name, **fields})
        return w.Delivered.DONE


class Server:
    """The app's server, over HTTP on loopback."""

    def __init__(self, address):
        self.address = address
        self.token = None

    def post(self, path, content):
        """The answer's bytes, or an error of the host."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("POST", path, json.dumps(content), headers)
            answer = connection.getresponse()
            body = answer.read()
        except ConnectionRefusedError as error:
            raise w.HostError.Offline() from error
        except (OSError, http.client.HTTPException) as error:
            raise w.HostError.Failed("the request failed") from error
        finally:
            connection.close()
        if answer.getheader("x-sandbox-link") == "offline":
            raise w.HostError.Offline()
        if answer.status // 100 != 2:
            raise w.HostError.Failed(f"the server answered {answer.status}")
        return body

    def log_in(self, user):
        self.token = None
        self.token = json.loads(self.post("/login", {"user": user}))["token"]


class Proxy(w.NFCRequestProxy):
    """Carries requests to the app's server: offline, faulty, or stopped on demand."""

    def __init__(self, server, behaviour):
        self.server, self.behaviour = server, behaviour

    async def send_request(self, kind, body):
        if not self.behaviour.state["online"]:
            raise w.HostError.Offline()
        if self.behaviour.state["proxy"] == "hang":
            await asyncio.Event().wait()
        self.behaviour.misbehave("proxy")
        name = kind.wire_name()
        hold = self.held(name)
        if hold and hold["when"] == "before":
            await self.stop(name, hold)
        if self.server.token is None:
            raise w.HostError.Failed("not logged in at the app's server")
        content = {"type": name, "body": body.decode()}
        loop = asyncio.get_running_loop()
        try:
            answer = w.Reply(body=await loop.run_in_executor(None, self.server.post, "/wallet/relay", content))
        finally:
            if hold and hold["when"] == "after":
                await self.stop(name, hold)
        return answer

    def held(self, name):
        hold = self.behaviour.hold
        if not hold or hold["request_type"] != name:
            return None
        hold["nth"] -= 1
        if hold["nth"] > 0:
            return None
        self.behaviour.hold = None
        return hold

    async def stop(self, name, hold):
        self.behaviour.tell({"event": "held", "request_type": name})
        if hold.get("for_ms") is None:
            await asyncio.Event().wait()
        await asyncio.sleep(hold["for_ms"] / 1_000)


class KeyStore(w.DeviceKeyStore):
    """Keys in a folder that no backup copies."""

    def __init__(self, folder, behaviour):
        self.folder, self.behaviour, self.turn = Path(folder), behaviour, threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)

    def check(self):
        fault = self.behaviour.state["key_store"]
        if fault == "locked":
            raise w.KeyStoreError.Locked()
        if fault == "invalidated":
            raise w.KeyStoreError.Invalidated()
        try:
            self.behaviour.misbehave("key_store")
        except w.HostError.Failed as error:
            raise w.KeyStoreError.Failed(error.reason) from error

    def durable(self, name, content):
        with self.turn:
            new = self.folder / f"{name}.new"
            with open(new, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.folder / name)
            directory = os.open(self.folder, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)

    def kept(self, name, make=None):
        path = self.folder / name
        if not path.exists() and make:
            self.durable(name, make())
        return path.read_bytes() if path.exists() else None

    def device_key(self):
        encoding = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        new = lambda: ec.generate_private_key(ec.SECP256R1()).private_bytes(*encoding)
        return serialization.load_der_private_key(self.kept("device", new), None)

    def public_key(self):
        self.check()
        point = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return w.DevicePublicKey(bytes=self.device_key().public_key().public_bytes(*point))

    def sign(self, message):
        self.check()
        return w.Signature(bytes=self.device_key().sign(message, ec.ECDSA(hashes.SHA256())))

    def wrap(self, key):
        self.check()
        nonce = os.urandom(12)
        cipher = AESGCM(self.kept("wrapping", lambda: AESGCM.generate_key(256)))
        return w.Wrapped(bytes=nonce + cipher.encrypt(nonce, key, None))

    def unwrap(self, wrapped):
        self.check()
        key = self.kept("wrapping")
        if key is None:
            raise w.KeyStoreError.NotFound()
        try:
            return w.Unwrapped(bytes=AESGCM(key).decrypt(wrapped.bytes[:12], wrapped.bytes[12:], None))
        except InvalidTag as error:
            raise w.KeyStoreError.Failed("wrapped under another key") from error

    def renew(self):
        # New keys end the invalidation, as they do on a phone.
        if self.behaviour.state["key_store"] == "invalidated":
            self.behaviour.change({"key_store": "none"})
        self.check()
        for name in ("device", "wrapping", "anchor"):
            (self.folder / name).unlink(missing_ok=True)
        return w.Stored.DURABLY

    def anchor(self):
        self.check()
        return w.Anchor(bytes=self.kept("anchor"))

    def set_anchor(self, bytes):
        self.check()
        self.durable("anchor", bytes)
        return w.Stored.DURABLY


class Device(w.DeviceInfo):
    """What the device says of itself."""

    def __init__(self, behaviour):
        self.behaviour = behaviour

    def fingerprint(self):
        self.behaviour.misbehave("device")
        return w.DeviceFingerprint(text="python-phone")

    def state(self):
        self.behaviour.misbehave("device")
        state = self.behaviour.state
        verdict = w.IntegrityVerdict.SAFE() if state["safe"] else w.IntegrityVerdict.UNSAFE(reason="rooted")
        facts = {name: state[name] for name in ("nfc_on", "default_payment_app", "screen_on", "unlocked")}
        return w.DeviceState(integrity=verdict, **facts)


class Permit(w.TransactionPermit):
    """The app's decision on a tap."""

    DECISIONS = {"proceed": w.PermitDecision.PROCEED, "decline": w.PermitDecision.DECLINE,
                 "need_auth": w.PermitDecision.NEED_AUTH}

    def __init__(self, behaviour):
        self.behaviour = behaviour

    def is_allowed(self, auth_before, transaction, risk):
        permit = self.behaviour.state["permit"]
        if permit == "obey_risk":
            permit = "proceed" if risk.proceed else "custom_4"
        if permit == "re_enter":
            wallet = self.behaviour.wallet
            inner = wallet.process_apdu(bytes.fromhex("80CA9F3600"))
            wallet.set_transaction_reference(inner)
            wallet.authenticate(w.CdcvmMethod.PASSWORD)
            wallet.readiness()
            permit = "proceed"
        if permit.startswith("custom_"):
            return w.PermitDecision.CUSTOM_DECLINE(number=int(permit.removeprefix("custom_")))
        if permit in self.DECISIONS:
            return self.DECISIONS[permit]()
        if permit == "hang":
            time.sleep(3_600)
        if permit == "panic":
            raise RuntimeError("as told")
        raise w.HostError.Failed("as told")


class Ears(w.TransactionListener, w.ActivationListener, w.Monitor):
    """Tells the driver what the wallet tells the app."""

    def __init__(self, behaviour):
        self.event = behaviour.event

    def on_start(self, tap):
        return self.event("start", tap=tap)

    def on_complete(self, tap, record):
        outcome, of = record.outcome, record.transaction
        return self.event("complete", tap=tap, amount_minor=of.amount_minor, currency=of.currency, atc=outcome.atc,
                          reference=outcome.reference.hex())

    def on_failed(self, tap, failure, transaction):
        advice = failure.advice()
        return self.event("failed", tap=tap, code=failure.code(), advice=advice and camel(advice.name))

    def on_auth_required(self, tap, transaction):
        return self.event("auth_required", tap=tap)

    def on_progress(self, progress):
        names = ("step", "total", "percent", "step_up_required", "elapsed_ms", "remaining_ms")
        return self.event("progress", mode=progress.mode.name.lower(), phase=progress.phase.name.lower(),
                          **{name: getattr(progress, name) for name in names})

    def on_activated(self):
        return self.event("activated")

    def track(self, event):
        return self.event("monitor", id=event.id, fields=event.fields)
