"""Lets schemathesis ask both sides of mpp-server for everything that their OpenAPI descriptions allow, and
for much that they do not.

    python described.py --server target/debug/mpp-server [--database postgres://...]

Ends with 0 only if schemathesis found nothing, the books agree, and enough was asked and answered.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from alipayplusmcp.sdk.tools import signature_tool

import servers

HERE = pathlib.Path(__file__).resolve().parent

# The run can be repeated: the same seed asks the same things.
SEED = 20250220

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]

# Requests of each kind that are drawn, after those at the borders of each field. A number and not a time,
# so that every machine asks the same.
DRAWN = {"app": 60, "partner": 40}

# Seconds after which a run is no use any more.
PATIENCE = 240

# No run that asked, or got, less of these counts.
AT_LEAST = {
    "app": {
        "requests": 300,
        "/login 200": 10,
        "/logout 200": 1,
        "/balance 200": 1,
        "/service 200": 1,
        "/payments 200": 10,
        "/payments 400": 5,
        "/payments/{id} 200": 3,
        "/payments/by-reference/{reference} 200": 3,
        "/wallet/relay 200": 3,
        "/wallet/relay 400": 10,
    },
    "partner": {
        "requests": 500,
        "answers verified": 500,
        "pay SUCCESS": 3,
        "pay PARAM_ILLEGAL": 20,
        "pay INVALID_SIGNATURE": 1,
        "pay INVALID_CLIENT": 1,
        "inquiryPayment SUCCESS": 3,
        "inquiryPayment ORDER_NOT_EXIST": 3,
        "cancelPayment SUCCESS": 3,
        "refund PARAM_ILLEGAL": 10,
        "refund SUCCESS": 1,
        "adjustRefund SUCCESS": 3,
    },
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--database", default="sqlite:mpp.db")
    options = parser.parse_args()
    gateway_key = servers.Key.draw()
    with tempfile.TemporaryDirectory() as folder, servers.EchoGateway(gateway_key) as gateway:
        with servers.MppServer(options.server, folder, gateway_key, gateway.url, options.database) as server:
            token = servers.log_in(server.addresses["app"], "ann")
            servers.log_in(server.addresses["app"], "bob")
            known = pay_some(server, gateway_key)
            told = {
                **known,
                "app": server.addresses["app"],
                "gateway_key": gateway_key.signing_text,
                "server_key": server.key.verifying_text,
            }
            # The partner's requests first: the app then shows what they left behind.
            complaints, requests = [], {}
            for side, headers in (("partner", []), ("app", ["--header", f"Authorization: Bearer {token}"])):
                counts, found = ask_for_everything(side, options.server, server.addresses[side], headers, told, folder)
                requests[side] = counts.get("requests", 0)
                complaints += found + too_few(side, counts)
            books = server.audit()
            if not (books.startswith("the books in ") and books.endswith(" agree")):
                complaints.append(f"the audit: {books}")
    for complaint in complaints:
        print(f"FAILED {complaint}")
    print(
        f"schemathesis: {requests['app']} requests of the app and {requests['partner']} of the gateway, "
        f"{len(complaints)} complaints, seed {SEED}"
    )
    return 1 if complaints else 0


def pay_some(server, gateway_key):
    """Payments that the app's side can show, made by a gateway that signs as the official client does."""
    payment_ids, references = {}, []
    for number in range(12):
        reference = f"{0x4F524445522D3030 + number:016X}"
        body = json.dumps(
            {
                "acquirerId": "ACQUIRER",
                "pspId": "PSP",
                "paymentRequestId": f"payment-{number}",
                "order": {
                    "referenceOrderId": f"order-{number}",
                    "orderDescription": "Tea 🍵",
                    "orderAmount": {"currency": "EUR", "value": "1250"},
                },
                "paymentAmount": {"currency": "EUR", "value": "1250"},
                "payToAmount": {"currency": "EUR", "value": "1250"},
                "paymentMethod": {"customerId": "ann"},
                "paymentFactor": {"isInStorePayment": "true"},
                "passThroughInfo": reference,
            }
        )
        # Some are left for schemathesis to pay.
        if number % 2 == 0:
            answer = post_signed(server.addresses["partner"], "/aps/api/v1/payments/pay", body, gateway_key)
            if answer["result"]["resultCode"] != "SUCCESS":
                raise RuntimeError(f"the first payments failed: {answer}")
            payment_ids[f"payment-{number}"] = answer["paymentId"]
            references.append(reference)
    return {"payment_ids": payment_ids, "references": references}


def post_signed(base, path, body, key):
    time = datetime.datetime.now(datetime.timezone.utc).isoformat()
    signature = signature_tool.sign("POST", path, servers.CLIENT_ID, time, body, key.signing_text)
    headers = {
        "Content-Type": "application/json; charset=UTF-8",
        "Client-Id": servers.CLIENT_ID,
        "Request-Time": time,
        "Signature": f"algorithm=RSA256,keyVersion=1,signature={signature}",
    }
    with urllib.request.urlopen(urllib.request.Request(base + path, body.encode(), headers), timeout=30) as answer:
        return json.load(answer)


def ask_for_everything(side, program, address, headers, told, folder):
    """One run of schemathesis: what was counted, and what it complained of."""
    folder = pathlib.Path(folder)
    description = folder / f"{side}.json"
    printed = subprocess.run([program, "openapi", side], capture_output=True, text=True, check=True)
    description.write_text(printed.stdout, encoding="utf-8")
    counts = folder / f"{side}-counts.json"
    hooks = folder / f"{side}-hooks.json"
    hooks.write_text(json.dumps({**told, "side": side, "counts": str(counts)}), encoding="utf-8")
    checks = CHECKS + (["answer_is_signed"] if side == "partner" else [])
    command = [
        str(pathlib.Path(sys.executable).with_name("st")),
        "--no-color",
        "run",
        str(description),
        f"--url={address}",
        f"--checks={','.join(checks)}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={DRAWN[side]}",
        f"--seed={SEED}",
        "--suppress-health-check=all",
        "--warnings=off",
        "--generation-database=none",
        *headers,
    ]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "MPP_HOOKS": str(hooks)}
    done = subprocess.run(command, cwd=folder, env=env, check=False, timeout=PATIENCE)
    counted = json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}
    for name, count in sorted(counted.items()):
        print(f"{count:6}  {side}: {name}")
    return counted, [] if done.returncode == 0 else [f"{side}: schemathesis ended with {done.returncode}, see above"]


def too_few(side, counts):
    return [
        f"{side}: {name}: only {counts.get(name, 0)}, wanted {least} and more"
        for name, least in AT_LEAST[side].items()
        if counts.get(name, 0) < least
    ]


if __name__ == "__main__":
    sys.exit(main())
