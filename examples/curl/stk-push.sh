#!/bin/sh
# Requests an M-Pesa payment (STK push) through Wakala, without a consumer key, a passkey or a token.
#
#   ./stk-push.sh ORDER PHONE AMOUNT       ./stk-push.sh order42 254700000001 100
#
# Exit code: 0 the phone was prompted, 75 not sent and can be run again, 1 anything else.
set -eu
order=$1 phone=$2 amount=$3

wakala=${WAKALA_URL:-http://127.0.0.1:8080}
short_code=${MPESA_SHORT_CODE:-174379}
callbacks=${MPESA_CALLBACKS:-https://shop.example/mpesa}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# M-Pesa has no idempotency key. The order in the URL identifies the callback even if the response is lost.
# Wakala adds Password and Timestamp. --max-time is longer than the route's `timeout` (60s), so that Wakala responds with the outcome first.
ended=0
status=$(curl -sS --max-time 70 -D "$folder/headers" -o "$folder/answer" -w '%{http_code}' \
  "$wakala/mpesa/mpesa/stkpush/v1/processrequest" -H 'content-type: application/json' -d @- <<JSON
{
  "BusinessShortCode": "$short_code",
  "TransactionType": "CustomerPayBillOnline", "Amount": "$amount",
  "PartyA": "$phone", "PartyB": "$short_code", "PhoneNumber": "$phone",
  "CallBackURL": "$callbacks/$order", "AccountReference": "$order", "TransactionDesc": "$order"
}
JSON
) || ended=$?

field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$folder/answer"; }

if [ "$ended" -eq 6 ] || [ "$ended" -eq 7 ]; then
  outcome=not_sent code=wakala_unreachable reason='no connection to Wakala'
elif [ "$ended" -ne 0 ]; then
  outcome=unknown code='' reason='no response'
elif [ "$status" = 200 ]; then
  echo "prompted $phone: $(field CheckoutRequestID)"
  exit 0
elif ! grep -qi '^content-type: application/problem+json' "$folder/headers"; then
  # Errors of Wakala have this content type, so this error is from M-Pesa.
  case $status in 4*) outcome=refused ;; *) outcome=unknown ;; esac
  code='' reason=$(field errorMessage)
else
  outcome=$(field outcome) code=$(field code) reason=$(field detail)
fi

echo "$outcome: $reason" >&2
case $outcome:$code in
  unknown:*) # A second push could take the money twice.
    echo "wait for the callback to $callbacks/$order; do not push again" >&2 ;;
  not_sent:wakala_unreachable | not_sent:upstream_* | not_sent:token_unavailable | not_sent:overloaded)
    exit 75 ;;
esac
exit 1
