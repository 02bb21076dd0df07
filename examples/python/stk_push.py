"""Requests an M-Pesa payment (STK push) through Wakala, without a consumer key, a passkey or a token."""

import os
import sys
import time

import requests

WAKALA = os.environ.get("WAKALA_URL", "http://127.0.0.1:8080")
SHORT_CODE = os.environ.get("MPESA_SHORT_CODE", "174379")
CALLBACKS = os.environ.get("MPESA_CALLBACKS", "https://shop.example/mpesa")

# Temporary errors of Wakala. The push was not sent.
TEMPORARY = {"upstream_unreachable", "upstream_timeout", "token_unavailable", "overloaded"}

# Final results: no balance, expired, cancelled, no response, wrong PIN. Other codes, such as 4999, are not final.
RESULTS = {0: "paid"} | dict.fromkeys([1, 1019, 1032, 1037, 2001], "failed")


class CallFailed(Exception):
    """`outcome` is "refused": M-Pesa refused the call. "not_sent": M-Pesa did not receive it. "unknown": M-Pesa may have
    acted on it. `retry_after` is set if the call can be sent again after that many seconds."""

    def __init__(self, message, outcome, retry_after=None):
        super().__init__(message)
        self.outcome = outcome
        self.retry_after = retry_after


def call(path, body):
    try:
        # Longer than the route's `timeout` (60s), so that Wakala responds with the outcome first.
        response = requests.post(f"{WAKALA}/mpesa{path}", json=body, timeout=(5, 70))
        answer = response.json()
    except requests.ConnectTimeout as error:
        raise CallFailed("Wakala cannot be reached", "not_sent", retry_after=1) from error
    except requests.RequestException as error:
        # For a broken connection, requests does not report whether anything was sent.
        raise CallFailed("no response", "unknown") from error
    if response.ok:
        return answer
    # Errors of Wakala have this content type. Others are from M-Pesa.
    if response.headers.get("content-type") != "application/problem+json":
        outcome = "refused" if response.status_code < 500 else "unknown"
        raise CallFailed(f"M-Pesa: {answer.get('errorMessage')}", outcome)
    outcome = answer.get("outcome", "unknown")
    again = outcome == "not_sent" and answer["code"] in TEMPORARY
    retry_after = int(response.headers.get("retry-after", 1)) if again else None
    raise CallFailed(f"{answer.get('code')}: {answer.get('detail')}", outcome, retry_after)


def stk_push(order, phone, amount, attempts=3):
    """Prompts the phone and returns the CheckoutRequestID. Repeats only a push that was not sent."""
    body = {
        # Wakala adds Password and Timestamp.
        "BusinessShortCode": SHORT_CODE,
        "TransactionType": "CustomerPayBillOnline",
        "Amount": amount,
        "PartyA": phone,
        "PartyB": SHORT_CODE,
        "PhoneNumber": phone,
        "AccountReference": order,
        "TransactionDesc": order,
        # M-Pesa has no idempotency key. The order in the URL identifies the callback even if the response is lost.
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
    """Returns "paid", "failed", or None if there is no result yet. It is safe to call repeatedly."""
    query = {"BusinessShortCode": SHORT_CODE, "CheckoutRequestID": checkout_request_id}
    for _ in range(tries):
        try:
            answer = call("/mpesa/stkpushquery/v1/query", query)
            if int(answer["ResultCode"]) in RESULTS:
                return RESULTS[int(answer["ResultCode"])]
        except CallFailed:
            pass  # M-Pesa responds with an error until the customer has decided
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
        return 1 if error.retry_after is None else 75  # EX_TEMPFAIL: can be run again
    print(f"prompted {phone}: {checkout_request_id}")
    result = stk_result(checkout_request_id)
    print(result or f"no result yet: wait for the callback to {CALLBACKS}/{order}")
    return 0 if result == "paid" else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: stk_push.py ORDER PHONE AMOUNT")
    sys.exit(main(*sys.argv[1:]))
