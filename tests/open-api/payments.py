"""The official client as an acquirer at the sandbox's gateway: it asks for, cancels and gives back payments
that were made by taps.

The client speaks TLS to port 443 and nothing else, and checks no certificate; the sandbox speaks plain HTTP on
loopback. So its connection class is replaced here, and only that: the requests, their bodies and signatures, and
what it thinks of the answers, are the client's own.
"""

import http.client
import json
import pathlib
import subprocess
import tempfile
import types

import servers
from alipayplusmcp.sdk.default_alipay_client import DefaultAlipayClient
from alipayplusmcp.sdk.model.amount import Amount
from alipayplusmcp.sdk.net import default_http_rpc
from alipayplusmcp.sdk.request.pay.alipay_cancel_payment_request import AlipayCancelPaymentRequest
from alipayplusmcp.sdk.request.pay.alipay_inquiry_payment_request import AlipayInquiryPaymentRequest
from alipayplusmcp.sdk.request.pay.alipay_refund_request import AlipayRefundRequest
from alipayplusmcp.sdk.response.pay.alipay_cancel_payment_response import AlipayCancelPaymentResponse
from alipayplusmcp.sdk.response.pay.alipay_inquiry_payment_response import AlipayInquiryPaymentResponse
from alipayplusmcp.sdk.response.pay.alipay_refund_response import AlipayRefundResponse

USER = "alice"

# No run with fewer comparisons counts.
AT_LEAST = 30


class Acquirer:
    """The client, with the keys that the sandbox wrote, and what it was answered."""

    def __init__(self, gateway, client_id, signing, verifying):
        self.client = DefaultAlipayClient("https://gateway.example", client_id, signing, verifying)
        replace_connection(gateway)

    def inquire(self, payment_request_id):
        request = AlipayInquiryPaymentRequest()
        request.payment_request_id = payment_request_id
        return AlipayInquiryPaymentResponse(self.client.execute(request))

    def cancel(self, payment_request_id):
        request = AlipayCancelPaymentRequest()
        request.payment_request_id = payment_request_id
        return AlipayCancelPaymentResponse(self.client.execute(request))

    def refund(self, payment_request_id, refund_request_id, cents):
        request = AlipayRefundRequest()
        request.payment_request_id = payment_request_id
        request.refund_request_id = refund_request_id
        request.refund_amount = Amount("EUR", str(cents))
        return AlipayRefundResponse(self.client.execute(request))


def replace_connection(gateway):
    """Gives the client a connection to `gateway` in place of TLS to the host that it names."""
    host, port = gateway.rsplit(":", 1)

    class Loopback(http.client.HTTPConnection):
        def __init__(self, host_name=None, timeout=None, **_):
            super().__init__(host, int(port), timeout=timeout)

    def connection(host=None, port=None, timeout=None, context=None):
        return Loopback(host, timeout)

    default_http_rpc.http_client = types.SimpleNamespace(HTTPSConnection=connection)


class Story:
    """What must be, counted."""

    def __init__(self):
        self.held = 0
        self.failed = []

    def equal(self, what, ours, wanted):
        if ours == wanted:
            self.held += 1
        else:
            self.failed.append(f"{what}: {ours!r}, wanted {wanted!r}")

    def result(self, what, result, code, status="S"):
        """A call's outcome, or a payment's, as the client read it."""
        seen = None if result is None else (result.result_code, result.result_status and result.result_status.value)
        self.equal(what, seen, (code, status))


def check(program):
    program = program.resolve()
    story = Story()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        with servers.Program([program, "serve", "--data", data], folder) as sandbox:
            tell(story, program, data, sandbox.addresses)
    if story.held < AT_LEAST:
        story.failed.append(f"only {story.held} answers as they must be, wanted {AT_LEAST} and more")
    for words in story.failed:
        print(f"FAILED {words}")
    print(f"payments: {story.held} answers and balances as they must be, {len(story.failed)} complaints")
    return 1 if story.failed else 0


def tell(story, program, data, served):
    open_api = served["open_api"]
    keys = data.parent / open_api["keys"]
    signing = servers.Key.from_pem((keys / "acquirer.key").read_text(encoding="ascii")).signing_text
    verifying = (keys / "gateway.pub").read_text(encoding="ascii").strip()
    acquirer = Acquirer(served["gateway"], open_api["acquirer_client_id"], signing, verifying)
    app = f"http://{served['mpp']}"
    bought = [tap(program, data, amount) for amount in ("12.50", "8.00", "20.00")]
    token = servers.log_in(app, USER)
    rich = 100_000 - 1250 - 800 - 2000
    story.equal("balance after three taps", balance(app, token), rich)

    given_back(story, acquirer, bought[0])
    story.equal("balance after refunds in parts", balance(app, token), rich + 1250)
    cancelled(story, acquirer, bought[1])
    story.equal("balance after a cancellation", balance(app, token), rich + 1250 + 800)
    refused(story, acquirer, bought[2])
    story.equal("balance in the end", balance(app, token), rich + 1250 + 800)
    distrusted(story, served, open_api, signing, verifying, bought[2])
    story.equal("balance after strangers", balance(app, token), rich + 1250 + 800)


def given_back(story, acquirer, payment):
    """12.50: paid, given back in parts, a part asked for twice, then more than is left."""
    paid = acquirer.inquire(payment)
    story.result("inquiry", paid.result, "SUCCESS")
    story.result("payment", paid.payment_result, "SUCCESS")
    story.equal("payment's name", paid.payment_request_id, payment)
    story.equal("amount", (paid.payment_amount.currency, paid.payment_amount.value), ("EUR", "1250"))
    first = acquirer.refund(payment, "refund-1", 500)
    story.result("refund of 5.00", first.result, "SUCCESS")
    story.equal("refunded", (first.refund_amount.currency, first.refund_amount.value), ("EUR", "500"))
    again = acquirer.refund(payment, "refund-1", 500)
    story.result("the same refund again", again.result, "SUCCESS")
    story.equal("its name", again.refund_id, first.refund_id)
    story.result("another under its name", acquirer.refund(payment, "refund-1", 400).result, *REPEAT)
    story.result("more than is left", acquirer.refund(payment, "refund-2", 751).result, *EXCEED)
    story.result("what is left", acquirer.refund(payment, "refund-3", 750).result, "SUCCESS")
    story.result("one cent more", acquirer.refund(payment, "refund-4", 1).result, *EXCEED)


def cancelled(story, acquirer, payment):
    """8.00: cancelled, twice; then it is closed, and gives nothing back."""
    story.result("cancellation", acquirer.cancel(payment).result, "SUCCESS")
    story.result("cancellation again", acquirer.cancel(payment).result, "SUCCESS")
    closed = acquirer.inquire(payment)
    story.result("inquiry of a cancelled one", closed.result, "SUCCESS")
    story.result("a cancelled payment", closed.payment_result, "ORDER_IS_CLOSED", "F")
    story.result("refund of it", acquirer.refund(payment, "refund-5", 100).result, "ORDER_IS_CLOSED", "F")


def refused(story, acquirer, payment):
    """What nobody knows, and what cannot be read, is refused in an answer that is signed all the same."""
    for what, answer in (
        ("inquiry", acquirer.inquire("tap-unknown")),
        ("cancellation", acquirer.cancel("tap-unknown")),
        ("refund", acquirer.refund("tap-unknown", "refund-6", 100)),
    ):
        story.result(f"{what} of what nobody knows", answer.result, "ORDER_NOT_EXIST", "F")
    story.result("no amount", acquirer.refund(payment, "refund-7", "ten").result, "PARAM_ILLEGAL", "F")
    story.result("a name of 65 characters", acquirer.inquire("x" * 65).result, "PARAM_ILLEGAL", "F")


def distrusted(story, served, open_api, signing, verifying, payment):
    """Nobody is believed who signs with another key: neither the client nor the gateway."""
    stranger = servers.Key.draw()
    as_stranger = Acquirer(served["gateway"], open_api["acquirer_client_id"], stranger.signing_text, verifying)
    story.result("a stranger's cancellation", as_stranger.cancel(payment).result, "INVALID_SIGNATURE", "F")
    story.result("a stranger's refund", as_stranger.refund(payment, "refund-8", 100).result, "INVALID_SIGNATURE", "F")
    unknown = Acquirer(served["gateway"], "SANDBOX_NOBODY", signing, verifying)
    story.result("a client that nobody knows", unknown.cancel(payment).result, "INVALID_CLIENT", "F")
    of_stranger = Acquirer(
        served["gateway"], open_api["acquirer_client_id"], signing, stranger.verifying_text
    )
    try:
        of_stranger.inquire(payment)
        believed = "believed"
    except ValueError as error:
        believed = "verify failed" if "verify failed" in str(error) else str(error)
    story.equal("an answer under another key than the gateway's", believed, "verify failed")
    still = Acquirer(served["gateway"], open_api["acquirer_client_id"], signing, verifying).inquire(payment)
    story.result("the payment afterwards", still.payment_result, "SUCCESS")


REPEAT = ("REPEAT_REQ_INCONSISTENT", "F")
EXCEED = ("REFUND_AMOUNT_EXCEED", "F")


def tap(program, data, amount):
    """A payment by a phone at a terminal: the name under which the scheme, and an acquirer, know it."""
    command = [program, "tap", "--data", data, "--user", USER, "--amount", amount, "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"no tap of {amount}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)["authorisation"]


def balance(app, token):
    """In cents."""
    amount = servers.ask(f"{app}/balance", token)["balance"]
    return int(amount["value"])
