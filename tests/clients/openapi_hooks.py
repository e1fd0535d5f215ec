"""What Schemathesis cannot know by itself when it runs the served OpenAPI documents: payments, refunds,
reasons, collections and keys that exist, to be named in paths and bodies, and who has a log-in.

Loaded by `tests/clients/run` (suite `openapi`); the server and the credentials come in the file that
REQUITE_ACCESS names, and whose document it is in REQUITE_FACE. Which values are replaced depends on the
values alone, so that a seed repeats a run.
"""

import base64
import json
import os
import re
import urllib.request
import zlib

import schemathesis

with open(os.environ["REQUITE_ACCESS"], encoding="utf-8") as file:
    ACCESS = json.load(file)
FACE = os.environ["REQUITE_FACE"]

PAYMENTS_COUNT = 60
# Large, so that most amounts that are made up fit.
LEG = 90_000_000


def ask(path, body, authorization=None, more=None):
    """POSTs and answers the JSON that comes back."""
    headers = {"content-type": "application/json", **(more or {})}
    headers["authorization"] = authorization or "Bearer " + ACCESS["native"]
    request = urllib.request.Request(
        ACCESS["url"] + path, data=json.dumps(body).encode(), headers=headers
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def order_name(number):
    """Of this face's run alone: what another has captured or let go of an order is not to be met here."""
    return f"order_{FACE}_{number}"


def registered(number):
    """One payment of many kinds: three currencies, two connectors, some not captured."""
    payment = {
        "amount": LEG,
        "currency": ["USD", "JPY", "KWD"][number % 3],
        "captures": [] if number % 4 == 3 else [{"amount": LEG // 4}, {"amount": LEG // 2}],
        "gift_cards": [{"amount": 2500}] if number % 2 else [],
        "connector": "sandbox" if number % 3 else "manual",
        "order": order_name(number),
        "metadata": {"number": number, "list": [1, {"deep": True}]},
        "source": {"type": "card", "scheme": "mada", "last_digits": "4444", "month": 12, "year": 2030},
    }
    return ask("/api/payments", payment)


PAYMENTS = [registered(number) for number in range(PAYMENTS_COUNT)]
# What can be taken or let go.
HELD = [payment for payment in PAYMENTS if not payment["captures"]]
NAMES = [order_name(number) for number in range(PAYMENTS_COUNT)]
REFUNDS = [
    ask(f"/api/payments/{payment['id']}/refunds", {"amount": 5, "reason": "damaged"})["id"]
    for payment in PAYMENTS
    if payment["captures"]
]


def waiting(count):
    """So many refunds that wait for the customer, and can be cancelled."""
    payment = {"amount": LEG, "currency": "USD", "captures": [{"amount": LEG}]}
    payment |= {"connector": "sandbox", "sandbox": ["action"] * count}
    path = f"/api/payments/{ask('/api/payments', payment)['id']}/refunds"
    return [ask(path, {"amount": 5})["id"] for _ in range(count)]


WAITING = waiting(8)


def authorized():
    """One order that holds money and begins with an approved authorize."""
    source = {"type": "card", "number": CARDS[0], "month": 12, "year": 2099}
    wish = {"amount": LEG, "currency": "SAR", "source": source}
    return ask("/mpg/v1/orders/authorize", wish, "Bearer " + ACCESS["mpg"])["id"]


# Approved, approved, declined.
CARDS = ["4242424242424242", "5555555555554444", "4000000000009995"]
ORDERS = [authorized() for _ in range(PAYMENTS_COUNT // 4)]


def basic(key):
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def kept(what, body):
    """The ids of what Medusa v2 has made so many times."""
    path = "/medusa/v2/admin/" + what
    made = [ask(path, body, basic(ACCESS["medusa_v2"])) for _ in range(PAYMENTS_COUNT)]
    return [row["id"] for answer in made for row in answer.values()]


REASONS = kept("refund-reasons", {"label": "Reason", "code": "reason"})
COLLECTIONS = kept("payment-collections", {"order_id": order_name(0), "amount": 1})
KEYS = kept("api-keys", {"title": "Key", "type": "secret"})


def return_reason(number):
    """One of Medusa v1's, each with a value of its own, also in a later run; its id."""
    body = {"value": f"value_{os.getpid()}_{number}", "label": "Reason"}
    more = {"x-medusa-access-token": ACCESS["medusa_v1"]}
    made = ask("/medusa/v1/admin/return-reasons", body, "none", more)
    return made["return_reason"]["id"]


RETURN_REASONS = [return_reason(number) for number in range(PAYMENTS_COUNT)]


def endpoints():
    """Twelve endpoints where nobody listens, which is told in the log alone: what an earlier run has left,
    and as many more as are missing. A merchant has few."""
    request = urllib.request.Request(
        ACCESS["url"] + "/api/webhook-endpoints",
        headers={"authorization": "Bearer " + ACCESS["native"]},
    )
    with urllib.request.urlopen(request) as response:
        ids = [item["id"] for item in json.load(response)["items"]]
    while len(ids) < 12:
        wish = {"url": "http://127.0.0.1:9/", "dialect": "gr4vy"}
        ids.append(ask("/api/webhook-endpoints", wish)["id"])
    return ids


# Those of the second list are there to be deleted.
ENDPOINTS, DOOMED = endpoints()[:8], endpoints()[8:]


def chosen(value, pool):
    """One of `pool` in three cases of four, by the value; else the value itself."""
    hash = zlib.crc32(repr(value).encode())
    return pool[hash // 4 % len(pool)] if hash % 4 else value


UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ACCOUNT = "[a-zA-Z0-9-]{1,50}"


def named(path, name, value, method):
    """What stands in a path where `value` was made up. What is not in good form stays: it is sent to be
    refused."""
    is_uuid = path.startswith(("/transactions", "/refunds", "/v1/orders"))
    if is_uuid and not re.fullmatch(UUID, str(value)):
        return value
    word = path.split("{" + name + "}")[0].rstrip("/").rsplit("/", 1)[-1]
    spelling = "medusa" if path.startswith("/admin") else "uuid"
    if path.endswith("/extend"):
        return chosen(value, ORDERS)
    if path.startswith("/admin/orders"):
        return chosen(value, NAMES)
    if word == "return-reasons":
        return chosen(value, RETURN_REASONS)
    if path.endswith(("/capture", "/captures", "/void")):
        return chosen(value, [payment["ids"][spelling] for payment in HELD])
    if word in ("payments", "transactions", "orders"):
        return chosen(value, [payment["ids"][spelling] for payment in PAYMENTS])
    if word == "refunds":
        return chosen(value, WAITING if path.endswith("/cancel") else REFUNDS)
    if word == "refund-reasons":
        return chosen(value, REASONS)
    if word == "payment-collections":
        return chosen(value, COLLECTIONS)
    if word in ("webhook-endpoints", "webhook-subscriptions"):
        return chosen(value, DOOMED if method == "delete" else ENDPOINTS)
    if word == "api-keys":
        return chosen(value, KEYS)
    return value


def captured(names):
    """A capture of the transaction that the path names, if it has any."""
    ids = [
        capture["id"]
        for payment in PAYMENTS
        if payment["ids"]["uuid"] == names.get("transaction_id")
        for capture in payment["captures"]
    ]
    return chosen(names["capture_id"], ids) if ids else names["capture_id"]


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    path = context.operation.path
    if not path_parameters:
        return path_parameters
    method = context.operation.method.lower()
    names = {name: named(path, name, value, method) for name, value in path_parameters.items()}
    if "capture_id" in names:
        names["capture_id"] = captured(names)
    return names


def replace(body, name, pool, form=r"(?s).+"):
    """What is not in good form stays: it is sent to be refused."""
    value = body.get(name)
    if isinstance(value, str) and re.fullmatch(form, value):
        body[name] = chosen(value, pool)


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    for name in ("charge_id", "payment_id"):
        replace(body, name, [payment["ids"]["loop"] for payment in PAYMENTS])
    if isinstance(body.get("source"), dict):
        replace(body["source"], "number", CARDS, "[0-9]{13,19}")
    replace(body, "refund_reason_id", REASONS)
    replace(body, "provider_id", ["pp_system_default"])
    if context.operation.path.startswith("/admin"):
        replace(body, "order_id", [order_name(0)])
    return body


@schemathesis.hook
def map_headers(context, headers):
    """Another account than ours has nothing, not even what was just made."""
    name = "X-Gr4vy-Merchant-Account-Id"
    if headers and re.fullmatch(ACCOUNT, str(headers.get(name, ""))):
        return {**headers, name: ACCESS["slug"]}
    return headers


LOGIN = ask("/medusa/v2/auth/user/emailpass", ACCESS["person"])["token"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """A log-in is refreshed, or made a session, by the person, not by a key."""
    is_persons = case.operation.path in ("/auth/token/refresh", "/auth/session")
    if is_persons and "Authorization" in (case.headers or {}):
        case.headers["Authorization"] = "Bearer " + LOGIN
