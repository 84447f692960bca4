#!/usr/bin/env bash
# A key's life by curl alone: made with its organisation, verified, rotated, revoked. It may be run again.
#
#   make run                 in one terminal
#   bash examples/curl.sh    in another; IDENTITY_URL and IDENTITY_KEY say where, and as whom
set -euo pipefail

URL=${IDENTITY_URL:-http://127.0.0.1:8080}
PLATFORM=${IDENTITY_KEY:-$(cat .identity/admin_key)}
TENANT=/v1/tenants/globex
SHOP=$TENANT/apps/shop

# call KEY METHOD PATH [JSON]: secrets go by pipes, since others on the machine can read command lines.
call() {
  curl -sS -X "$2" "$URL$3" -H @<(echo "Authorization: Bearer $1") \
    -H 'Content-Type: application/json' -d @<(echo "${4:-}")
}

# pick FIELD...: these fields of an answer; of a refusal its reason, and failure.
pick() {
  python3 -c '
import functools, json, operator, sys
answer = json.load(sys.stdin)
if "detail" in answer:
    sys.exit("{status} {code}: {detail}".format(**answer))
print(*(functools.reduce(operator.getitem, field.split("."), answer) for field in sys.argv[1:]))' "$@"
}

# show LABEL FIELD...
show() {
  printf '%-9s' "$1"
  pick "${@:2}"
}

# verify KEY: is it good for reading orders in Madrid?
verify() {
  call "$admin" POST /v1/keys/verify '{"key": "'"$1"'", "scopes": ["orders:read"], "branch_id": "mad"}' |
    show verify key_id code
}

curl -sSf "$URL/readyz" >/dev/null

# The platform makes the tenant with a first key; where there is one already (409), it issues another key.
read -r admin_id admin < <(
  call "$PLATFORM" POST /v1/tenants '{"id": "globex", "name": "Globex", "admin_key": true}' |
    pick admin_key.id admin_key.key
) || read -r admin_id admin < <(
  call "$PLATFORM" POST $TENANT/apps/identity/keys '{"name": "admin", "scopes": ["*"]}' | pick id key
)

# With that key the tenant provisions itself.
call "$admin" GET $TENANT | show tenant id name
call "$admin" PUT $SHOP '{"name": "Shop", "type": "web"}' | show app id name
call "$admin" PUT $SHOP/branches/mad '{"code": "MAD", "name": "Madrid", "type": "store"}' | show branch id name
call "$admin" PUT $TENANT/users/ana '{"username": "ana", "email": "ana@example.com"}' | show user id email
call "$admin" PUT $SHOP/users/ana | show access status

new='{"name": "till-7", "branch_id": "mad", "user_id": "ana", "scopes": ["orders:*"]}'
read -r old_id old < <(call "$admin" POST $SHOP/keys "$new" | pick id key)
call "$admin" GET "$SHOP/keys/$old_id" | show key id name
verify "$old"

read -r new_id new < <(call "$admin" POST "$SHOP/keys/$old_id/rotate" | pick id key)
call "$admin" GET "$SHOP/keys/$new_id" | show rotate id rotated_from
verify "$old"
verify "$new"

call "$admin" POST "$SHOP/keys/$new_id/revoke" '{"reason": "till stolen"}' | show revoke id revoke_reason
verify "$new"

# Nobody keeps the tenant's own key of this run.
call "$admin" POST "$TENANT/apps/identity/keys/$admin_id/revoke" | show revoke id name
