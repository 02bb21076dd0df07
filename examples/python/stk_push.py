"""Asks a customer for an M-Pesa payment (STK push) by way of Wakala: no consumer key, no token."""

import base64
import os
import sys
import time
from datetime import datetime, timedelta, timezone

import requests

WAKALA = os.environ.get("WAKALA_URL", "http://127.0.0.1:8080")
SHORT_CODE = os.environ.get("MPESA_SHORT_CODE", "174379")
PASSKEY = os.environ.get("MPESA_PASSKEY", "made-up-passkey")
CALLBACKS = os.environ.get("MPESA_CALLBACKS", "https://shop.example/mpesa")

# Codes of Wakala's own that pass by themselves; the push was not sent.
PASSING = {"upstream_unreachable", "upstream_timeout", "token_unavailable", "overloaded"}

# Results that are final: no balance, expired, cancelled, no answer, wrong PIN. Others, such as 4999, are not.
RESULTS = {0: "paid"} | dict.fromkeys([1, 1019, 1032, 1037, 2001], "failed")


class CallFailed(Exception):
    """`outcome` is "refused": M-Pesa said no. "not_sent": M-Pesa surely never saw the call. "unknown": it may have
    acted on it. `retry_after` is set, in seconds, where the call may be sent again."""

    def __init__(self, message, outcome, retry_after=None):
        super().__init__(message)
        self.outcome = outcome
        self.retry_after = retry_after


def call(path, body):
    try:
        # Longer than the route's `timeout` (60s), so that it is Wakala that gives up first and says what is known.
        response = requests.post(f"{WAKALA}/mpesa{path}", json=body, timeout=(5, 70))
        answer = response.json()
    except requests.ConnectTimeout as error:
        raise CallFailed("Wakala cannot be reached", "not_sent", retry_after=1) from error
    except requests.RequestException as error:
        # Of a connection that broke, requests does not say whether anything was sent on it.
        raise CallFailed("no answer", "unknown") from error
    if response.ok:
        return answer
    # Wakala's own errors are of this type; any other is M-Pesa's.
    if response.headers.get("content-type") != "application/problem+json":
        outcome = "refused" if response.status_code < 500 else "unknown"
        raise CallFailed(f"M-Pesa: {answer.get('errorMessage')}", outcome)
    outcome = answer.get("outcome", "unknown")
    again = outcome == "not_sent" and answer["code"] in PASSING
    retry_after = int(response.headers.get("retry-after", 1)) if again else None
    raise CallFailed(f"{answer.get('code')}: {answer.get('detail')}", outcome, retry_after)


def login():
    """Short code, time in Nairobi and the two with the passkey, as every STK call carries them."""
    timestamp = datetime.now(timezone(timedelta(hours=3))).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{SHORT_CODE}{PASSKEY}{timestamp}".encode()).decode()
    return {"BusinessShortCode": SHORT_CODE, "Password": password, "Timestamp": timestamp}


def stk_push(order, phone, amount, attempts=3):
    """Prompts the phone, and gives the CheckoutRequestID. Sends again only what was surely not sent."""
    body = login() | {
        "TransactionType": "CustomerPayBillOnline",
        "Amount": amount,
        "PartyA": phone,
        "PartyB": SHORT_CODE,
        "PhoneNumber": phone,
        "AccountReference": order,
        "TransactionDesc": order,
        # M-Pesa has no idempotency key. With the order in it, the callback finds its order even if the answer is lost.
        "CallBackURL": f"{CALLBACKS}/{order}",
    }
    for attempt in range(1, attempts + 1):
        try:
            return call("/mpesa/stkpush/v1/processrequest", body)["CheckoutRequestID"]
        except CallFailed as error:
            if error.retry_after is None or attempt == attempts:
                raise
            time.sleep(error.retry_after)


def stk_result(checkout_request_id, tries=10, pause=3):
    """"paid", "failed", or None while nobody knows. Asking does no harm, however often."""
    for _ in range(tries):
        try:
            answer = call("/mpesa/stkpushquery/v1/query", login() | {"CheckoutRequestID": checkout_request_id})
            if int(answer["ResultCode"]) in RESULTS:
                return RESULTS[int(answer["ResultCode"])]
        except CallFailed:
            pass  # M-Pesa answers with an error while the customer thinks
        time.sleep(pause)
    return None


def main(order, phone, amount):
    try:
        checkout_request_id = stk_push(order, phone, amount)
    except CallFailed as error:
        print(f"{error.outcome}: {error}", file=sys.stderr)
        if error.outcome == "unknown":
            # A second push could take the money twice.
            print(f"wait for the callback to {CALLBACKS}/{order}; do not push again", file=sys.stderr)
        return 1 if error.retry_after is None else 75  # EX_TEMPFAIL: may be run again
    print(f"prompted {phone}: {checkout_request_id}")
    result = stk_result(checkout_request_id)
    print(result or f"no result yet: wait for the callback to {CALLBACKS}/{order}")
    return 0 if result == "paid" else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: stk_push.py ORDER PHONE AMOUNT")
    sys.exit(main(*sys.argv[1:]))
