"""The signatures of our messages and those of the official client, each judged by the other.

    python check.py signatures target/open-api/ours.jsonl target/open-api/theirs.jsonl
    python check.py payments --sandbox target/debug/nfcwallet-sandbox

`signatures` verifies and makes anew what our example wrote, and writes lines of the client's own for our
example to judge. `payments` points the client at the sandbox's gateway. README.md says more. Ends with 0 only
if everything held and enough was compared.
"""

import argparse
import base64
import collections
import json
import pathlib
import random
import sys
import urllib.parse

import payments
import servers
from alipayplusmcp.sdk.tools import signature_tool

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "open-api/tests/vectors/signatures.json"

# No run with fewer comparisons of a kind counts.
AT_LEAST = {
    "text to sign": 300,
    "our signature verifies at the client": 300,
    "the client makes the same signature": 300,
    "a changed message is refused by the client": 300,
    "vector": 3,
    "line of the client's own": 240,
}

# Keys of the client's side, and messages that each of them signs.
KEYS = 4
MESSAGES = 60


class Tally:
    """How many comparisons of each kind held, and which did not."""

    def __init__(self):
        self.held = collections.Counter()
        self.failed = []

    def require(self, kind, holds, line):
        if holds:
            self.held[kind] += 1
        else:
            self.failed.append(f"{kind}: {json.dumps(line)[:400]}")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    signatures = commands.add_parser("signatures")
    signatures.add_argument("ours", type=pathlib.Path)
    signatures.add_argument("theirs", type=pathlib.Path)
    paying = commands.add_parser("payments")
    paying.add_argument("--sandbox", type=pathlib.Path, required=True)
    options = parser.parse_args()
    if options.command == "payments":
        return payments.check(options.sandbox)
    return check_signatures(options.ours, options.theirs)


def check_signatures(ours, theirs):
    tally = Tally()
    # Not `splitlines`: the bodies hold every character that ends a line anywhere.
    *lines, end = [json.loads(line) for line in ours.read_text(encoding="utf-8").strip("\n").split("\n")]
    if end.get("kind") != "end" or end.get("lines") != len(lines):
        tally.failed.append("the file is cut: its last line does not count the lines before it")
    keys = {}
    for line in lines:
        judge(line, keys, tally)
    for case in json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]:
        judge_vector(case, tally)
    write_own(theirs, end.get("seed", 0), tally)
    for kind, least in AT_LEAST.items():
        if tally.held[kind] < least:
            tally.failed.append(f"{kind}: only {tally.held[kind]} held, wanted {least} and more")
    for kind, held in sorted(tally.held.items()):
        print(f"{held:6}  {kind}")
    for words in tally.failed[:20]:
        print(f"FAILED {words}")
    agreed = tally.held["our signature verifies at the client"]
    print(f"signatures: {agreed} of ours verified, {len(tally.failed)} complaints, seed {end.get('seed')}")
    return 1 if tally.failed else 0


def judge(line, keys, tally):
    """One message of ours: the same text, the same signature, and no other message has it."""
    method, path, client_id, time, body = "POST", line["path"], line["client_id"], line["time"], line["body"]
    content = signature_tool.gen_sign_content(method, path, client_id, time, body)
    tally.require("text to sign", content == line["content"], line)
    # As the client cuts the header.
    signature = line["header"].split("signature=")[1]
    verified = verifies(path, client_id, time, body, signature, line["public_key"])
    tally.require("our signature verifies at the client", verified, line)
    pem = line["private_key"]
    if pem not in keys:
        keys[pem] = servers.Key.from_pem(pem).signing_text
    made = signature_tool.sign(method, path, client_id, time, body, keys[pem])
    tally.require("the client makes the same signature", made == signature, line)
    changed = verifies(path, client_id, time, body + " ", signature, line["public_key"])
    tally.require("a changed message is refused by the client", not changed, line)


def judge_vector(case, tally):
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    key = servers.Key.from_pkcs8(vectors["privateKeyPkcs8B64_TEST_ONLY"]).signing_text
    path, client_id, time, body = case["path"], case["clientId"], case["time"], case["body"]
    made = signature_tool.sign("POST", path, client_id, time, body, key)
    header = f"algorithm=RSA256,keyVersion=1,signature={made}"
    verified = verifies(path, client_id, time, body, made, vectors["publicKeyX509B64"])
    tally.require("vector", verified and header == case["signatureHeader"], case)


def verifies(path, client_id, time, body, signature, public_key):
    try:
        return signature_tool.verify("POST", path, client_id, time, body, signature, public_key)
    except signature_tool.rsa.VerificationError:
        return False


def write_own(file, seed, tally):
    """Messages that the client signed, each followed by one that it did not sign under the same signature."""
    draw = random.Random(seed)
    lines = []
    for _ in range(KEYS):
        key = servers.Key.draw()
        signing, verifying = key.signing_text, key.verifying_text
        for _ in range(MESSAGES):
            message = {
                "path": f"/aps/api/v{draw.randint(1, 9)}/payments/{draw.choice(['pay', 'refund?a=%2B&b=1+2', 'x.y'])}",
                "client_id": "SANDBOX_" + "".join(draw.choices("ABCxyz0189_-", k=draw.randint(1, 50))),
                "time": draw.choice(["2025-02-20T08:51:49+00:00", "2025-02-20T08:51:49.09Z", "1740041509090"]),
                "body": body(draw),
            }
            made = signature_tool.sign(
                "POST", message["path"], message["client_id"], message["time"], message["body"], signing
            )
            signed = {**message, "public_key": verifying.replace("\n", ""), "header": header(draw, made)}
            lines += [{"kind": "signed", **signed}, {"kind": "changed", **signed, **changed(draw, message)}]
            tally.held["line of the client's own"] += 1
    lines.append({"kind": "end", "lines": len(lines)})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def body(draw):
    """As the client writes bodies, indented by three, or any text."""
    alphabet = "abc .\n\"\\{}%+=é中\U0001f4b6\u0000"
    text = "".join(draw.choices(alphabet, k=draw.randint(0, 300)))
    indented = json.dumps({"paymentRequestId": text}, indent=3, ensure_ascii=draw.random() < 0.5)
    return draw.choice([indented, text, ""])


def header(draw, signature):
    """As the client writes it, or one of the other forms that are in use."""
    plain = base64.b64encode(base64.b64decode(urllib.parse.unquote(signature))).decode("ascii")
    return draw.choice(
        [
            f"algorithm=RSA256,keyVersion=1,signature={signature}",
            f"algorithm=RSA256, keyVersion=0, signature={signature}",
            f"algorithm=RSA256,keyVersion=1,signature={plain}",
            f"algorithm=RSA256,keyVersion=1,signature={plain.translate(str.maketrans('+/', '-_', '='))}",
        ]
    )


def changed(draw, message):
    """One part with one character more."""
    part = draw.choice(sorted(message))
    return {part: message[part] + "0"}


if __name__ == "__main__":
    sys.exit(main())
