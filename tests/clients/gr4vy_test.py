"""gr4vy, Gr4vy's official client for Python. Amounts are in minor units.

Start at `Refunds`; it runs at each place where the face is served. The server and the credentials
come from `tests/clients/run`, in the file that REQUITE_ACCESS names.
"""

import json
import os
import time
import unittest
import urllib.request
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gr4vy import Gr4vy, auth, errors

with open(os.environ["REQUITE_ACCESS"], encoding="utf-8") as file:
    ACCESS = json.load(file)

TARGET_GIFT_CARD = "gift-card-redemption"
SETTLED_WITHIN_MAX_S = 30


def transaction(**fields):
    """Registers a payment of 10000 minor units, captured unless `fields` say otherwise."""
    amount = fields.get("amount", 10000)
    payment = {
        "amount": amount,
        "currency": "USD",
        "captures": [{"amount": amount}],
        "connector": "sandbox",
        **fields,
    }
    request = urllib.request.Request(
        ACCESS["url"] + "/api/payments",
        data=json.dumps(payment).encode(),
        headers={
            "authorization": "Bearer " + ACCESS["native"],
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["ids"]["uuid"]


class Refunds:
    """Every case once; the classes below say where."""

    prefix = ""

    def setUp(self):
        self.gr4vy = self.client(ACCESS["gr4vy"], ACCESS["slug"])
        self.refunds = self.gr4vy.transactions.refunds

    def client(self, private_key, merchant_account_id, scopes=None):
        return Gr4vy(
            server_url=ACCESS["url"] + self.prefix,
            merchant_account_id=merchant_account_id,
            bearer_auth=auth.with_token(private_key, scopes),
        )

    def assert_refused(self, error, code, call, pointer=None):
        """`call` raises `error`, which carries the members of the answer."""
        with self.assertRaises(error) as caught:
            call()
        raised = caught.exception
        self.assertEqual(raised.data.code, code)
        self.assertEqual(raised.data.status, raised.status_code)
        self.assertTrue(raised.message)
        if pointer:
            self.assertEqual([detail.pointer for detail in raised.data.details], [pointer])
        return raised

    def assert_bad_amount(self, **refund):
        self.assert_refused(
            errors.Error400, "bad_request", lambda: self.refunds.create(**refund), "/amount"
        )

    def assert_not_found(self, call):
        self.assert_refused(errors.Error404, "not_found", call)

    def settled(self, refund):
        """The refund once it no longer is processing, or as it is after 30 seconds."""
        deadline = time.monotonic() + SETTLED_WITHIN_MAX_S
        while refund.status == "processing" and time.monotonic() < deadline:
            time.sleep(0.1)
            refund = self.gr4vy.refunds.get(refund_id=refund.id)
        return refund

    def test_no_amount_refunds_all_that_is_left(self):
        id = transaction()

        refund = self.refunds.create(transaction_id=id)

        self.assertEqual(refund.status, "succeeded")
        self.assertEqual(refund.amount, 10000)
        self.assertEqual(refund.currency, "USD")
        self.assertEqual(refund.target_type, "payment-method")
        self.assertEqual(refund.transaction_id, id)
        read = self.gr4vy.transactions.get(transaction_id=id)
        self.assertEqual(read.status, "capture_succeeded")
        self.assertEqual(read.captured_amount, 10000)
        self.assertEqual(read.refunded_amount, 10000)

    def test_none_means_absent(self):
        id = transaction()
        refund = self.refunds.create(
            transaction_id=id, amount=None, target_id=None, reason=None, external_identifier=None
        )
        self.assertEqual(refund.amount, 10000)

    def test_partial_refunds_are_read_by_both_routes_and_in_the_list(self):
        id = transaction()

        first = self.refunds.create(
            transaction_id=id, amount=4000, reason="box was open", external_identifier="return-1"
        )
        rest = self.refunds.create(transaction_id=id)

        self.assertEqual(first.reason, "box was open")
        self.assertEqual(first.external_identifier, "return-1")
        self.assertEqual(rest.amount, 6000)
        self.assertEqual(self.refunds.get(transaction_id=id, refund_id=first.id), first)
        self.assertEqual(self.gr4vy.refunds.get(refund_id=first.id), first)
        listed = self.refunds.list(transaction_id=id).items
        self.assertEqual({item.id for item in listed}, {first.id, rest.id})

    def test_more_than_is_left_is_refused(self):
        id = transaction()

        self.assert_bad_amount(transaction_id=id, amount=10001)
        self.refunds.create(transaction_id=id, amount=10000)
        self.assert_bad_amount(transaction_id=id, amount=1)
        self.assert_bad_amount(transaction_id=id)

        self.assertEqual(len(self.refunds.list(transaction_id=id).items), 1)

    def test_what_was_not_captured_is_not_refunded(self):
        self.assert_bad_amount(transaction_id=transaction(captures=[]))

    def test_unknown_ids_are_not_found_on_every_route(self):
        id = transaction()
        unknown = str(uuid.uuid4())
        refund = self.refunds.create(transaction_id=id, amount=1)

        self.assert_not_found(lambda: self.refunds.create(transaction_id=unknown, amount=1))
        self.assert_not_found(lambda: self.refunds.all.create(transaction_id=unknown))
        self.assert_not_found(lambda: self.refunds.list(transaction_id=unknown))
        self.assert_not_found(lambda: self.refunds.get(transaction_id=id, refund_id=unknown))
        self.assert_not_found(
            lambda: self.refunds.get(transaction_id=unknown, refund_id=refund.id)
        )
        self.assert_not_found(lambda: self.gr4vy.refunds.get(refund_id=unknown))

    def test_another_merchants_transaction_is_not_found_either(self):
        id = transaction()
        other = self.client(ACCESS["other"]["gr4vy"], ACCESS["other"]["slug"])
        self.assert_not_found(lambda: other.transactions.refunds.create(transaction_id=id))

    def test_amounts_that_are_none_are_refused(self):
        id = transaction()
        for amount in (0, -1, 100000000):
            with self.subTest(amount=amount):
                self.assert_bad_amount(transaction_id=id, amount=amount)
        self.assertEqual(self.refunds.list(transaction_id=id).items, [])

    def test_a_token_of_a_key_that_is_not_registered_is_unauthorized(self):
        private_key = (
            ec.generate_private_key(ec.SECP521R1())
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            .decode()
        )
        stranger = self.client(private_key, ACCESS["slug"])
        id = transaction()
        error = self.assert_refused(
            errors.Error401,
            "unauthorized",
            lambda: stranger.transactions.refunds.create(transaction_id=id),
        )
        self.assertEqual(error.message, "No valid API authentication found")

    def test_a_token_without_the_scope_may_read_but_not_refund(self):
        id = transaction()
        reader = self.client(ACCESS["gr4vy"], ACCESS["slug"], [auth.JWTScope.READ_ALL])
        self.assertEqual(reader.transactions.get(transaction_id=id).id, id)
        self.assert_refused(
            errors.Error403,
            "forbidden",
            lambda: reader.transactions.refunds.create(transaction_id=id),
        )

    def test_a_declined_refund_is_made_and_its_money_is_free(self):
        id = transaction(sandbox=["decline:51"])

        declined = self.refunds.create(transaction_id=id)
        self.assertEqual(declined.status, "declined")
        self.assertEqual(declined.raw_response_code, "51")
        self.assertIsInstance(declined.error_code, str)

        self.assertEqual(self.refunds.create(transaction_id=id).status, "succeeded")

    def test_a_refund_whose_outcome_is_unknown_is_processing_then_succeeds(self):
        id = transaction(sandbox=["lost:never"])

        refund = self.refunds.create(transaction_id=id, amount=6000)

        self.assertEqual(refund.status, "processing")
        self.assert_bad_amount(transaction_id=id, amount=6000)
        self.assertEqual(self.settled(refund).status, "succeeded")

    def test_a_refund_that_the_payment_provider_settles_later(self):
        for script, status in (
            ("pending:approve", "succeeded"),
            ("pending:decline:51", "declined"),
        ):
            with self.subTest(script=script):
                id = transaction(sandbox=[script])
                refund = self.refunds.create(transaction_id=id, amount=100)
                self.assertEqual(self.settled(refund).status, status)

    def test_the_same_idempotency_key_gives_the_same_refund_once(self):
        id = transaction()
        key = str(uuid.uuid4())

        first = self.refunds.create(transaction_id=id, amount=1000, idempotency_key=key)
        again = self.refunds.create(transaction_id=id, amount=1000, idempotency_key=key)
        self.assertEqual(again, first)

        self.assert_refused(
            errors.Error409,
            "idempotency_mismatch",
            lambda: self.refunds.create(transaction_id=id, amount=1001, idempotency_key=key),
        )
        self.assertEqual(len(self.refunds.list(transaction_id=id).items), 1)

    def test_a_gift_card_is_refunded_by_the_id_of_its_redemption(self):
        id = transaction(gift_cards=[{"id": str(uuid.uuid4()), "amount": 2500}])
        [redemption] = self.gr4vy.transactions.get(transaction_id=id).gift_card_redemptions
        gift_card = {
            "transaction_id": id,
            "target_type": TARGET_GIFT_CARD,
            "target_id": redemption.id,
        }

        partial = self.refunds.create(**gift_card, amount=500)
        self.assertEqual(partial.target_type, TARGET_GIFT_CARD)
        self.assertEqual(partial.target_id, redemption.id)
        self.assert_bad_amount(**gift_card, amount=2001)
        self.assertEqual(self.refunds.create(**gift_card).amount, 2000)

        read = self.gr4vy.transactions.get(transaction_id=id)
        self.assertEqual(read.refunded_amount, 0)
        self.assertEqual(read.gift_card_redemptions[0].refunded_amount, 2500)

    def test_refund_all_gives_back_what_is_left_on_each_instrument(self):
        id = transaction(gift_cards=[{"id": str(uuid.uuid4()), "amount": 2500}])
        self.refunds.create(transaction_id=id, amount=4000)

        refunds = self.refunds.all.create(transaction_id=id, reason="shop closed").items

        self.assertEqual(
            {(refund.target_type, refund.amount, refund.reason) for refund in refunds},
            {("payment-method", 6000, "shop closed"), (TARGET_GIFT_CARD, 2500, "shop closed")},
        )
        self.assert_refused(
            errors.Error400, "bad_request", lambda: self.refunds.all.create(transaction_id=id)
        )


class AtTheRoot(Refunds, unittest.TestCase):
    """The face's paths as the original has them."""


class BelowThePrefix(Refunds, unittest.TestCase):
    """The face's paths below its own prefix."""

    prefix = "/gr4vy"


if __name__ == "__main__":
    unittest.main()
