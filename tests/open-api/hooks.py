"""What schemathesis does before and after each request: log in, sign, verify, and count.

Its environment variable SCHEMATHESIS_HOOKS names this module; MPP_HOOKS names the file with what
`described.py` tells it. Without these hooks every request would end at the signature, or at a name that
nobody has.
"""

import atexit
import base64
import collections
import datetime
import hashlib
import json
import os
import pathlib
from urllib.parse import quote_plus

import requests
import schemathesis
from alipayplusmcp.sdk.tools import signature_tool
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import servers

TOLD = json.loads(pathlib.Path(os.environ["MPP_HOOKS"]).read_text(encoding="utf-8"))
IS_PARTNER = TOLD["side"] == "partner"

# Every so many requests keep the signature that was drawn, and every other of those all that was drawn.
UNSIGNED = 16

GATEWAY_KEY = servers.Key.from_traditional(TOLD["gateway_key"]).private

COUNTS = collections.Counter()
PAYMENT_IDS = dict(TOLD["payment_ids"])


class Signed(requests.auth.AuthBase):
    """Signs what is really sent, by the official client's own code."""

    def __init__(self, keeps_signature):
        self.keeps_signature = keeps_signature

    def __call__(self, request):
        body = request.body or b""
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        time = datetime.datetime.now(datetime.timezone.utc).isoformat()
        # As `signature_tool.sign`, which would read and check the key anew for each request.
        content = signature_tool.gen_sign_content("POST", request.path_url, servers.CLIENT_ID, time, text)
        signature = GATEWAY_KEY.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        signature = quote_plus(base64.b64encode(signature))
        request.headers["Client-Id"] = servers.CLIENT_ID
        request.headers["Request-Time"] = time
        if not self.keeps_signature:
            request.headers["Signature"] = f"algorithm=RSA256,keyVersion=1,signature={signature}"
        return request


class LeavesAlone(requests.auth.AuthBase):
    """Logs out of a session of its own: the other requests still need theirs."""

    def __call__(self, request):
        if "Authorization" in request.headers:
            request.headers["Authorization"] = f"Bearer {servers.log_in(TOLD['app'], 'leaver')}"
        return request


@schemathesis.hook
def before_call(context, case, kwargs):
    COUNTS["requests"] += 1
    if IS_PARTNER:
        case.body = of_known_things(case.body, case.path)
        if COUNTS["requests"] % (2 * UNSIGNED) != 0:
            kwargs["auth"] = Signed(keeps_signature=COUNTS["requests"] % UNSIGNED == 0)
    elif case.path == "/logout":
        kwargs["auth"] = LeavesAlone()


def of_known_things(body, path):
    """Three of four bodies speak of users and payments that there are; what else is wrong with them stays."""
    draw = int.from_bytes(hashlib.sha256(repr(body).encode("utf-8", "replace")).digest()[:8], "big")
    if not isinstance(body, dict) or draw % 4 == 0:
        return body
    # A payment that was cancelled cannot be given back, and one that was asked for is no new one: each call
    # has its share.
    payment = f"payment-{draw // 4 % {'cancelPayment': 4, 'pay': 60}.get(path.rsplit('/', 1)[-1], 12)}"
    known = {
        "acquirerId": "ACQUIRER",
        "pspId": "PSP",
        "customerId": ["ann", "bob"][draw // 64 % 2],
        "paymentRequestId": payment,
        "refundRequestId": f"refund-{draw // 128 % 40}",
        "paymentId": PAYMENT_IDS.get(payment, "unknown"),
        "currency": "EUR",
        # The amounts of a payment differ by nothing, or by a quote that is drawn too.
        "value": str(1 + draw // 8192 % 50),
        "subScenarioType": ["EXCEED_REFUND", "UNLINKED_REFUND"][draw // 65536 % 2],
    }
    body = with_known(body, known)
    for name in ("paymentExpiryTime", "paymentQuote", "refundQuote", "paymentFactor") if draw // 4096 % 4 else ():
        body.pop(name, None)
        if name == "paymentFactor" and "paymentMethod" in body:
            body[name] = {"isInStorePayment": "true"}
    return body


def with_known(value, known):
    """The same with what we know of, wherever there was a text."""
    if isinstance(value, dict):
        return {
            name: known[name] if name in known and isinstance(one, str) else with_known(one, known)
            for name, one in value.items()
        }
    return value


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    draw = int.from_bytes(hashlib.sha256(repr(path_parameters).encode("utf-8", "replace")).digest()[:8], "big")
    known = {"id": list(PAYMENT_IDS.values()), "reference": TOLD["references"]}
    if not path_parameters or draw % 2 == 0:
        return path_parameters
    return {
        name: known[name][draw % len(known[name])] if known.get(name) else value
        for name, value in path_parameters.items()
    }


@schemathesis.hook
def after_call(context, case, response):
    route = case.path.rsplit("/payments/", 1)[-1] if IS_PARTNER else case.path
    word = str(response.status_code)
    if IS_PARTNER and response.status_code == 200:
        answer = response.json()
        word = answer["result"]["resultCode"]
        if word == "SUCCESS" and "paymentId" in answer and route == "pay":
            PAYMENT_IDS[json.loads(response.request.body)["paymentRequestId"]] = answer["paymentId"]
    COUNTS[f"{route} {word}"] += 1


@schemathesis.check
def answer_is_signed(context, response, case):
    """By the server's key, over the path that was asked and the body that came."""
    if response.status_code == 500:
        return
    head = {name: values[0] for name, values in response.headers.items()}
    signature = head["signature"].split("signature=")[1]
    is_right = signature_tool.verify(
        "POST",
        requests.utils.urlparse(response.request.url)._replace(scheme="", netloc="", fragment="").geturl(),
        head["client-id"],
        head["response-time"],
        response.content.decode("utf-8"),
        signature,
        TOLD["server_key"],
    )
    assert is_right, "the answer's signature is not its own"
    COUNTS["answers verified"] += 1


@atexit.register
def tell():
    pathlib.Path(TOLD["counts"]).write_text(json.dumps(COUNTS), encoding="utf-8")
