"""Kills the server over and over while clients refund, with localstripe behind it, and holds its books
against ours.

localstripe ignores idempotency keys and lets over-refunds pass: whatever is sent twice is paid twice, and
nothing but Requite stops at what was captured. Clients ask through the Loop face, ask again at random, and
ask on when the server is gone. In the end localstripe's own sum for each charge must equal what our
journal says, and be exactly what the clients were told.

Start at `run`. `tests/clients/run PROGRAM kills` runs it.
"""

import http.client
import json
import random
import signal
import subprocess
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode, urlsplit

HERE = Path(__file__).resolve().parent
KEY = "sk_test_requite0001"
SEED = 20_261_122

CALLS = 10_000
CHARGES = 120
CHARGED = 10_000
# So many of these add up to what was charged: the last wishes for each charge find too little left.
WISH_MAX = 400
WISHES = 7_500
CLIENTS = 16
# A wish is sent again although it was answered, with this probability in percent.
AGAIN_PERCENT = 30
# Calls between kills, from and to.
KILLED_EVERY = (100, 500)
ANSWER_WITHIN_MAX_S = 10
ALL_WITHIN_MAX_S = 280
KILLS_MIN = 20


class Gone(Exception):
    """The server did not answer."""


def call(url, method, path, headers, body=None):
    """One request on a connection of its own; answers (status, parsed body)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_WITHIN_MAX_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as cause:
        raise Gone(str(cause)) from cause
    finally:
        connection.close()


class Localstripe:
    """localstripe in a process of its own."""

    def __init__(self, python):
        words = [python, HERE / "localstripe_loopback.py"]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, method, path, form=None):
        headers = {"authorization": f"Bearer {KEY}"}
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        status, body = call(self.url, method, path, headers, form and urlencode(form))
        assert status == 200, f"localstripe answered {status} to {method} {path}: {body}"
        return body

    def charges(self, count):
        """Ids of so many captured charges."""
        customer = self.ask("POST", "/v1/customers", {"description": "x"})["id"]
        card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123"}
        token = self.ask("POST", "/v1/tokens", {f"card[{name}]": card[name] for name in card})
        self.ask("POST", f"/v1/customers/{customer}/sources", {"source": token["id"]})
        form = {"amount": CHARGED, "currency": "usd", "customer": customer}
        return [self.ask("POST", "/v1/charges", form)["id"] for _ in range(count)]

    def given_back(self, charge):
        """What it says it gave back of a charge."""
        return self.ask("GET", f"/v1/charges/{charge}")["amount_refunded"]


class Crowd:
    """Clients that want refunds, and what they were told."""

    def __init__(self, shop, access, payments):
        self.shop, self.access, self.payments = shop, access, payments
        self.dice = random.Random(SEED)
        charges = list(payments)
        self.wishes = [
            (n, self.dice.choice(charges), self.dice.randint(1, WISH_MAX)) for n in range(WISHES)
        ]
        self.lock = threading.Lock()
        self.calls = 0
        self.told = {}
        self.wrong = []
        self.deadline = time.monotonic() + ALL_WITHIN_MAX_S

    def count(self):
        with self.lock:
            self.calls += 1

    def refund(self, wish):
        """Asks once. Answers what is final, or None: ask again."""
        number, charge, amount = wish
        self.count()
        headers = {
            "authorization": f"Bearer {self.access['loop']}",
            "content-type": "application/json",
            "idempotency-key": f"killed wish {number}",
        }
        body = json.dumps({"charge_id": charge, "amount_cents": amount})
        try:
            status, answer = call(self.shop.url, "POST", "/loop/v1/admin/refunds", headers, body)
        except Gone:
            return None
        if status == 201:
            return answer["refund_id"]
        if status in (409, 422) and answer["error"] != "conflict":
            return answer["error"]
        if status not in (409, 429, 503):
            with self.lock:
                self.wrong.append(f"wish {number} was answered {status}: {answer}")
            return f"error {status}"
        return None

    def grant(self, wish, again):
        """Asks until there is a final answer, and perhaps once more: the answer must be the same."""
        while time.monotonic() < self.deadline:
            final = self.refund(wish)
            if final is None:
                time.sleep(0.05)
                continue
            with self.lock:
                before = self.told.setdefault(wish, final)
                if before != final:
                    self.wrong.append(f"wish {wish[0]} was told {before}, then {final}")
            if not again:
                return
            again = False

    def client(self, own):
        dice = random.Random(SEED + own)
        for wish in self.wishes[own::CLIENTS]:
            self.grant(wish, dice.randrange(100) < AGAIN_PERCENT)

    def everything(self):
        with ThreadPoolExecutor(max_workers=CLIENTS) as clients:
            for client in [clients.submit(self.client, own) for own in range(CLIENTS)]:
                client.result()


def killer(crowd, is_over):
    """Kills the server whenever so many calls were made, and starts it again. Answers how often."""
    dice, kills = random.Random(SEED - 1), 0
    shop, due = crowd.shop, dice.randint(*KILLED_EVERY)
    while not is_over.wait(0.01):
        if crowd.calls < due:
            continue
        shop.server.send_signal(signal.SIGKILL)
        shop.server.wait()
        shop.server.stdout.close()
        shop.url = shop.start()
        kills += 1
        due = crowd.calls + dice.randint(*KILLED_EVERY)
    return kills


def registered(shop, access, charges):
    """Registers each charge as a payment; answers payment ids by charge."""
    headers = {"authorization": f"Bearer {access['native']}", "content-type": "application/json"}
    payments = {}
    for charge in charges:
        payment = {"amount": CHARGED, "currency": "USD", "captures": [{"amount": CHARGED}]}
        payment |= {"connector": "kills", "connector_payment": charge}
        status, answer = call(shop.url, "POST", "/api/payments", headers, json.dumps(payment))
        assert status == 201, f"registering answered {status}: {answer}"
        payments[charge] = answer["id"]
    return payments


def compare(crowd, stripe):
    """Three sums for every charge: what localstripe gave, what our journal says, what clients were told."""
    headers = {"authorization": f"Bearer {crowd.access['native']}"}
    granted = defaultdict(int)
    for (_, charge, amount), final in crowd.told.items():
        if final.startswith("ref_"):
            granted[charge] += amount
    total, wrong = 0, []
    for charge, payment in crowd.payments.items():
        status, shown = call(crowd.shop.url, "GET", f"/api/payments/{payment}", headers)
        assert status == 200, f"reading a payment answered {status}: {shown}"
        paid, totals = stripe.given_back(charge), shown["totals"]
        sums = {"localstripe": paid, "journal": totals["refunded"], "told": granted[charge]}
        if len(set(sums.values())) > 1 or paid > CHARGED or totals["reserved"]:
            wrong.append(f"{charge}: {sums}, reserved {totals['reserved']} of {CHARGED}")
        total += paid
    return total, wrong


def run(shop, access):
    """Answers (passed, failed)."""
    stripe = Localstripe(access["python"])
    try:
        add = ["connector", "add", "--merchant", access["slug"], "--kind", "stripe", "--no-reason"]
        shop.command(*add, "--name", "kills", "--base-url", stripe.url, given=KEY)
        shop.url = access["url"]
        crowd = Crowd(shop, access, registered(shop, access, stripe.charges(CHARGES)))
        is_over = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as aside:
            killing = aside.submit(killer, crowd, is_over)
            try:
                crowd.everything()
            finally:
                is_over.set()
            kills = killing.result()
        total, wrong = compare(crowd, stripe)
    finally:
        stripe.process.kill()
        stripe.process.wait()
    wrong += crowd.wrong
    made = sum(final.startswith("ref_") for final in crowd.told.values())
    print(f"{crowd.calls} calls for {WISHES} refunds, {kills} kills: {made} made, {total} given back")
    for enough, what in [
        (len(crowd.told) == WISHES, f"{WISHES - len(crowd.told)} wishes without a final answer"),
        (crowd.calls >= CALLS, f"{crowd.calls} calls, fewer than {CALLS}"),
        (kills >= KILLS_MIN, f"{kills} kills, fewer than {KILLS_MIN}"),
        (made < WISHES, "no wish found too little left"),
    ]:
        wrong += [] if enough else [what]
    for line in wrong[:20]:
        print(line)
    return (0, len(wrong)) if wrong else (1, 0)
