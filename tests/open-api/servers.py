"""The programs under test as processes, and what they are asked with: keys, a log-in, a gateway."""

import http.server
import json
import pathlib
import queue
import subprocess
import threading
import time
import urllib.request

from alipayplusmcp.sdk.tools import signature_tool
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

# How long a program may take to listen; debug builds on a busy machine are slow.
PATIENCE = 60

# The client id of the provider and of the gateway, towards each other.
CLIENT_ID = "SANDBOX_MPP"


class Key:
    """A key in the forms that the official client takes: base64 of PKCS#1, and of X.509."""

    def __init__(self, private):
        self.private = private

    @classmethod
    def draw(cls):
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def from_pem(cls, pem):
        return cls(serialization.load_pem_private_key(pem.encode("ascii"), password=None))

    @classmethod
    def from_pkcs8(cls, text):
        return cls.from_pem(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")

    @classmethod
    def from_traditional(cls, text):
        """From the base64 of PKCS#1, as `signing_text` writes it."""
        return cls.from_pem(f"-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----\n")

    @property
    def signing_text(self):
        pem = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        return bare(pem)

    @property
    def verifying_text(self):
        public = self.private.public_key()
        return bare(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def bare(pem):
    """A PEM text without its first and last line; the client puts them back."""
    return "\n".join(line for line in pem.decode("ascii").splitlines() if not line.startswith("-----"))


class Program:
    """A process that prints one JSON value when it listens, and ends when this is closed."""

    def __init__(self, arguments, cwd, env=None):
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments], cwd=cwd, env=env, stdout=subprocess.PIPE, text=True
        )
        self.said = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.addresses = self._first_value()
        except BaseException:
            self.close()
            raise

    def _read(self):
        for line in self.process.stdout:
            self.said.put(line)
        self.said.put(None)

    def _first_value(self):
        text = ""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            line = self.said.get(timeout=PATIENCE)
            if line is None:
                raise RuntimeError(f"the program ended with {self.process.wait()}: {text}")
            text += line
            try:
                return json.loads(text)
            except json.JSONDecodeError:
                continue
        raise RuntimeError(f"the program did not say where it listens: {text}")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class MppServer(Program):
    """`mpp-server` in `folder`, with a key of its own and a gateway that `gateway_key` signs for."""

    def __init__(self, program, folder, gateway_key, gateway_url, database):
        self.program = pathlib.Path(program).resolve()
        self.folder = pathlib.Path(folder)
        pem = f"-----BEGIN PUBLIC KEY-----\n{gateway_key.verifying_text}\n-----END PUBLIC KEY-----\n"
        (self.folder / "gateway.pub").write_text(pem, encoding="ascii")
        self._run("keys", "new", "--private", "mpp.key", "--public", "mpp.pub")
        self.key = Key.from_pem((self.folder / "mpp.key").read_text(encoding="ascii"))
        settings = {
            "store.url": database,
            "identity.client_id": CLIENT_ID,
            "identity.signing_key_file": "mpp.key",
            "gateway.url": gateway_url,
            "gateway.key_files.1": "gateway.pub",
            "accounts.sign_up": "open",
            "accounts.opening_balance": "100000000",
            "log.level": "error",
        }
        self.flags = [part for field, value in settings.items() for part in ("--set", f"{field}={value}")]
        any_port = [f"--{side}=127.0.0.1:0" for side in ("app", "partner", "ops")]
        super().__init__([self.program, "serve", *self.flags, *any_port], self.folder)

    def audit(self):
        """What the program says of its books."""
        return self._run("audit", *self.flags).strip()

    def _run(self, *arguments):
        done = subprocess.run(
            [str(self.program), *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"mpp-server {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout


def ask(url, token=None, body=None):
    """A request of the provider's app: the JSON that comes back."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


def log_in(app, user):
    return ask(f"{app}/login", body={"user": user})["token"]


class EchoGateway:
    """A gateway that gives every wallet back what it sent, signed by the official client's own code."""

    def __init__(self, key):
        self.key = key
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                result = {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}
                echo = request.get("sdkRequestBody") or "nothing"
                body = json.dumps({"result": result, "sdkResponse": echo})
                time_text = self.headers["request-time"]
                client_id = self.headers["client-id"]
                signature = signature_tool.sign(
                    "POST", self.path, client_id, time_text, body, gateway.key.signing_text
                )
                self.send_response(200)
                self.send_header("content-type", "application/json; charset=UTF-8")
                self.send_header("client-id", client_id)
                self.send_header("response-time", time_text)
                self.send_header("signature", f"algorithm=RSA256,keyVersion=1,signature={signature}")
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
