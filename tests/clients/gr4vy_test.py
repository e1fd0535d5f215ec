"""gr4vy, Gr4vy's official client for Python. Amounts are in minor units.

Start at `Payments`, which takes money, `Refunds`, which gives it back, and `History`, which reads; all
run at each place where the face is served. The server and the credentials come from `tests/clients/run`, in the file that REQUITE_ACCESS names.
"""

import datetime
import http.server
import json
import os
import threading
import time
import unittest
import urllib.request
import uuid
import warnings

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gr4vy import Gr4vy, auth, errors, models
from gr4vy.webhooks import verify_webhook

with open(os.environ["REQUITE_ACCESS"], encoding="utf-8") as file:
    ACCESS = json.load(file)

CARD = "4242424242424242"
CARD_DECLINED = "4000000000009995"
GIFT_CARD = "4123455541234567"
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


def card(number=CARD, **fields):
    """A card of the sandbox. It takes every number but a few test cards."""
    return {
        "method": "card",
        "number": number,
        "expiration_date": "12/30",
        "security_code": "123",
        **fields,
    }


class Face:
    """A client at one of the places where the face is served."""

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

    def assert_not_found(self, call):
        self.assert_refused(errors.Error404, "not_found", call)

    def stranger(self):
        """A client with a key that nobody has registered."""
        private_key = (
            ec.generate_private_key(ec.SECP521R1())
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            .decode()
        )
        return self.client(private_key, ACCESS["slug"])


class Refunds(Face):
    """What is refunded, of transactions that were registered."""

    def assert_bad_amount(self, **refund):
        self.assert_refused(
            errors.Error400, "bad_request", lambda: self.refunds.create(**refund), "/amount"
        )

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
        stranger = self.stranger()
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


class Payments(Face):
    """Transactions from their creation to the refund of what was taken."""

    def setUp(self):
        super().setUp()
        self.transactions = self.gr4vy.transactions

    def created(self, **fields):
        payment = {"amount": 1299, "currency": "USD", "payment_method": card(), **fields}
        return self.transactions.create(**payment)

    def test_an_authorization_is_captured_and_refunded(self):
        made = self.created(external_identifier=str(uuid.uuid4()), metadata={"order": "1"})
        self.assertEqual(made.status, "authorization_succeeded")
        self.assertEqual(made.intent, "authorize")
        self.assertEqual(made.intent_outcome, "succeeded")
        self.assertEqual(made.metadata, {"order": "1"})
        self.assertEqual(made.payment_method.label, CARD[-4:])
        self.assertEqual(made.payment_method.scheme, "visa")
        self.assertEqual(made.payment_method.details.bin, CARD[:8])
        self.assertEqual(made.payment_method.expiration_date, "12/30")
        self.assertIsNone(made.captured_at)
        self.assertEqual(self.transactions.get(transaction_id=made.id), made)

        captured = self.transactions.capture(transaction_id=made.id)
        self.assertIsInstance(captured, models.Transaction)
        self.assertEqual(captured.status, "capture_succeeded")
        self.assertEqual(captured.captured_amount, 1299)
        self.assertIsNotNone(captured.captured_at)

        refund = self.refunds.create(transaction_id=made.id, amount=299)
        self.assertEqual((refund.status, refund.amount), ("succeeded", 299))
        [rest] = self.refunds.all.create(transaction_id=made.id).items
        self.assertEqual(rest.amount, 1000)
        self.assertEqual(self.transactions.get(transaction_id=made.id).refunded_amount, 1299)

    def test_a_direct_capture_shows_all_that_it_was_made_with(self):
        address = {"city": "San Jose", "country": "US", "line1": "29th Street"}
        made = self.created(
            intent="capture",
            country="US",
            payment_source="recurring",
            merchant_initiated=True,
            is_subsequent_payment=True,
            store=True,
            buyer={
                "display_name": "John Doe",
                "external_identifier": "buyer-1",
                "billing_details": {
                    "first_name": "John",
                    "address": address,
                    "tax_id": {"value": "12345678931", "kind": "us.ein"},
                },
                "shipping_details": {"first_name": "Jane", "address": address},
            },
            cart_items=[{"name": "Shoe", "quantity": 1, "unit_amount": 1299, "categories": ["a"]}],
            airline={"booking_code": "X36Q9C", "legs": [{"flight_number": "101"}]},
            recipient={"first_name": "A", "last_name": "B"},
            statement_descriptor={"name": "Shop"},
            tax_amount=10,
            amount_includes_tax=True,
            purchase_order_number="po-1",
            description="a shoe",
            connection_options={},
        )
        self.assertEqual(made.status, "capture_succeeded")
        self.assertEqual((made.country, made.payment_source), ("US", "recurring"))
        self.assertTrue(made.merchant_initiated and made.is_subsequent_payment)
        self.assertEqual(made.buyer.external_identifier, "buyer-1")
        self.assertEqual(made.buyer.billing_details.address.city, "San Jose")
        self.assertEqual(made.shipping_details.first_name, "Jane")
        self.assertEqual(made.cart_items[0].unit_amount, 1299)
        self.assertEqual(made.airline.legs[0].flight_number, "101")
        self.assertEqual(made.recipient.last_name, "B")
        self.assertEqual(made.statement_descriptor.name, "Shop")
        self.assertEqual((made.tax_amount, made.purchase_order_number), (10, "po-1"))
        self.assertEqual(self.transactions.get(transaction_id=made.id), made)

    def test_a_declined_card_makes_a_declined_transaction(self):
        made = self.created(payment_method=card(CARD_DECLINED), intent="capture")
        self.assertEqual(made.status, "authorization_declined")
        self.assertEqual((made.error_code, made.raw_response_code), ("insufficient_funds", "51"))
        self.assertEqual((made.intent_outcome, made.captured_amount), ("failed", 0))
        self.assert_refused(
            errors.Error400,
            "bad_request",
            lambda: self.transactions.capture(transaction_id=made.id),
            "/amount",
        )

    def test_captures_in_parts_are_told_as_captures_where_that_is_preferred(self):
        id = self.created().id
        part = self.transactions.capture(
            transaction_id=id,
            prefer=["resource=transaction-capture"],
            amount=300,
            final=False,
            external_identifier="part-1",
        )
        self.assertIsInstance(part, models.TransactionCapture)
        self.assertEqual((part.status, part.external_identifier), ("succeeded", "part-1"))
        self.assertTrue(part.capture_id)
        self.assertEqual(part.transaction.captured_amount, 300)
        self.assert_refused(
            errors.Error400,
            "bad_request",
            lambda: self.transactions.capture(transaction_id=id, amount=1000),
            "/amount",
        )
        final = self.transactions.capture(transaction_id=id, amount=900)
        self.assertEqual(final.captured_amount, 1200)

    def test_a_capture_that_is_declined_is_told_and_takes_nothing(self):
        id = self.created(amount=500001).id
        told = self.transactions.capture(
            transaction_id=id, prefer=["resource=transaction-capture"]
        )
        self.assertEqual((told.status, told.code), ("declined", "issuer_decline"))
        self.assertEqual(told.transaction.status, "authorization_succeeded")
        self.assertEqual(self.transactions.capture(transaction_id=id).captured_amount, 0)

    def test_an_authorization_is_voided(self):
        id = self.created().id
        void = self.transactions.void(transaction_id=id, prefer=["resource=transaction-void"])
        self.assertIsInstance(void, models.TransactionVoid)
        self.assertEqual(void.status, "succeeded")
        self.assertEqual(void.transaction.status, "authorization_voided")
        self.assertIsNotNone(void.transaction.voided_at)
        other = self.transactions.void(transaction_id=self.created().id)
        self.assertIsInstance(other, models.Transaction)
        self.assert_refused(
            errors.Error400, "bad_request", lambda: self.transactions.void(transaction_id=id)
        )

    def test_a_cancel_is_for_what_waits_and_a_sync_changes_nothing(self):
        made = self.created()
        cancel = self.transactions.cancel(transaction_id=made.id)
        self.assertEqual((cancel.status, cancel.code), ("failed", "unexpected_state"))
        self.assertEqual(cancel.transaction, made)
        self.assertEqual(self.transactions.sync(transaction_id=made.id), made)

    def test_an_update_replaces_the_metadata_and_a_name_is_of_one_transaction(self):
        name = str(uuid.uuid4())
        first = self.created(external_identifier=name, metadata={"a": "1", "b": "2"})
        again = self.assert_refused(
            errors.Error409, "duplicate_record", lambda: self.created(external_identifier=name)
        )
        self.assertEqual(again.data.resource_id, first.id)
        updated = self.transactions.update(transaction_id=first.id, metadata={"c": "3"})
        self.assertEqual((updated.metadata, updated.external_identifier), ({"c": "3"}, name))
        other = self.created()
        self.assert_refused(
            errors.Error409,
            "duplicate_record",
            lambda: self.transactions.update(transaction_id=other.id, external_identifier=name),
        )
        renamed = self.transactions.update(
            transaction_id=other.id, external_identifier=str(uuid.uuid4())
        )
        self.assertEqual(self.transactions.get(transaction_id=other.id), renamed)

    def test_gift_cards_pay_first_and_a_refund_of_all_reaches_each(self):
        made = self.created(
            intent="capture", gift_cards=[{"number": GIFT_CARD, "pin": "0123", "amount": 500}]
        )
        self.assertEqual((made.amount, made.captured_amount), (1299, 799))
        [redemption] = made.gift_card_redemptions
        self.assertEqual((redemption.status, redemption.amount), ("succeeded", 500))
        shown = redemption.gift_card
        self.assertEqual((shown.bin, shown.sub_bin, shown.last4), ("412345", "554", "4567"))
        refunds = self.refunds.all.create(transaction_id=made.id).items
        self.assertEqual([refund.amount for refund in refunds], [799, 500])

    def test_the_same_idempotency_key_takes_and_lets_go_once(self):
        key = str(uuid.uuid4())
        first = self.created(idempotency_key=key)
        self.assertEqual(self.created(idempotency_key=key), first)
        self.assert_refused(
            errors.Error409,
            "idempotency_mismatch",
            lambda: self.created(amount=1300, idempotency_key=key),
        )
        part = {"transaction_id": first.id, "amount": 100, "final": False, "idempotency_key": key}
        captured = self.transactions.capture(**part)
        self.assertEqual(self.transactions.capture(**part), captured)
        voided = self.transactions.void(transaction_id=first.id, idempotency_key=key)
        self.assertEqual(
            self.transactions.void(transaction_id=first.id, idempotency_key=key), voided
        )
        self.assertEqual(self.transactions.get(transaction_id=first.id).captured_amount, 100)

    def test_what_is_wrong_is_a_typed_error(self):
        unknown = str(uuid.uuid4())
        self.assert_refused(
            errors.Error400,
            "bad_request",
            lambda: self.created(payment_method={"method": "id", "id": unknown}),
            "/payment_method/id",
        )
        self.assert_refused(
            errors.Error400, "bad_request", lambda: self.created(amount=-1), "/amount"
        )
        self.assert_refused(
            errors.Error401,
            "unauthorized",
            lambda: self.stranger().transactions.sync(transaction_id=unknown),
        )
        reader = self.client(ACCESS["gr4vy"], ACCESS["slug"], [auth.JWTScope.READ_ALL])
        for call in ("capture", "void", "cancel", "update"):
            with self.subTest(call=call):
                self.assert_refused(
                    errors.Error403,
                    "forbidden",
                    lambda: getattr(reader.transactions, call)(transaction_id=unknown),
                )
                self.assert_not_found(
                    lambda: getattr(self.transactions, call)(transaction_id=unknown)
                )
        self.assert_not_found(lambda: self.transactions.sync(transaction_id=unknown))
        other = self.client(ACCESS["other"]["gr4vy"], ACCESS["other"]["slug"])
        id = self.created().id
        self.assert_not_found(lambda: other.transactions.capture(transaction_id=id))


class History(Face):
    """Lists of transactions, and what is told of one."""

    def setUp(self):
        super().setUp()
        self.transactions = self.gr4vy.transactions
        # The client reads every filter when it lists, and warns of the deprecated ones.
        warnings.simplefilter("ignore", DeprecationWarning)

    def ids(self, **filters):
        """What the client's own pager brings, page by page."""
        pages = []
        page = self.transactions.list(**filters)
        while page is not None:
            pages.append([item.id for item in page.result.items])
            page = page.next()
        return pages

    def test_the_clients_pager_meets_every_transaction_once(self):
        mark = str(uuid.uuid4())
        made = [transaction(metadata={"mark": mark}, amount=1000 + n) for n in range(5)]
        filters = {"metadata": [json.dumps({"mark": mark})]}

        pages = self.ids(limit=2, **filters)

        self.assertEqual([len(page) for page in pages], [2, 2, 1])
        seen = [id for page in pages for id in page]
        self.assertEqual(sorted(seen), sorted(made))
        self.refunds.create(transaction_id=made[0], amount=1)
        [newest, *_] = self.ids(limit=2, **filters)
        self.assertEqual(newest[0], made[0], "what changed last comes first")

    def test_every_filter_that_the_client_writes_is_read(self):
        name, psp = str(uuid.uuid4()), str(uuid.uuid4())
        id = transaction(
            external_identifier=name,
            connector_payment=psp,
            source={"type": "card", "scheme": "mada", "last_digits": "4444"},
            gift_cards=[{"amount": 2500, "last4": "1234"}],
        )
        self.refunds.create(transaction_id=id, amount=1)
        read = self.transactions.get(transaction_id=id)
        hour = datetime.timedelta(hours=1)
        for filters in (
            {"id": id},
            {"reconciliation_id": read.reconciliation_id},
            {"payment_service_transaction_id": psp},
            {"search": name[:18]},
            {"status": ["capture_succeeded", "authorization_succeeded"]},
            {"currency": ["USD", "EUR"]},
            {"method": ["card"], "payment_method_scheme": ["mada"]},
            {"payment_method_label": "4444"},
            {"amount_eq": 12500},
            {"amount_gte": 12500, "amount_lte": 12500},
            {"created_at_gte": read.created_at, "created_at_lte": read.created_at},
            {"updated_at_gte": read.updated_at - hour, "updated_at_lte": read.updated_at + hour},
            {"has_refunds": True, "has_gift_card_redemptions": True},
            {"gift_card_last4": "1234"},
            {"payment_source": ["ecommerce"], "disputed": False, "has_settlements": False},
            {"payment_service_id": [read.payment_service.id]},
        ):
            with self.subTest(filters=filters):
                found = self.ids(external_identifier=name, **filters)
                self.assertEqual(found, [[id]])
        for filters in (
            {"status": ["authorization_declined"]},
            {"amount_gte": 12501},
            {"has_refunds": False},
            {"created_at_lte": read.created_at - hour},
            {"buyer_id": str(uuid.uuid4())},
        ):
            with self.subTest(filters=filters):
                self.assertEqual(self.ids(external_identifier=name, **filters), [[]])

    def test_a_query_that_cannot_be_read_is_refused_with_its_name(self):
        for filters, name in (
            ({"limit": 101}, "limit"),
            ({"cursor": "x"}, "cursor"),
            ({"status": ["refunded"]}, "status"),
            ({"metadata": ["x"]}, "metadata"),
        ):
            with self.subTest(filters=filters):
                self.assert_refused(
                    errors.Error400,
                    "bad_request",
                    lambda: self.transactions.list(**filters),
                    name,
                )

    def test_captures_events_and_settlements_are_read(self):
        id = transaction(captures=[], external_identifier=str(uuid.uuid4()))
        self.transactions.capture(
            transaction_id=id, amount=4000, final=False, external_identifier="parcel-1"
        )
        refund = self.refunds.create(transaction_id=id, amount=1500)

        [capture] = self.transactions.captures.list(transaction_id=id).items
        self.assertEqual(capture.amount, 4000)
        self.assertEqual(capture.status, "succeeded")
        self.assertEqual(capture.external_identifier, "parcel-1")
        self.assertIs(capture.final, False)
        read = self.transactions.captures.get(transaction_id=id, capture_id=capture.id)
        self.assertEqual(read, capture)
        unknown = str(uuid.uuid4())
        self.assert_not_found(
            lambda: self.transactions.captures.get(transaction_id=id, capture_id=unknown)
        )

        names, page = [], self.transactions.events.list(transaction_id=id, limit=2)
        first = page.result.items[0]
        while page is not None:
            names += [event.name for event in page.result.items]
            page = page.next()
        prefix = "payment-connector-response-transaction-"
        self.assertEqual(
            names,
            [
                prefix + "capture-reversal-succeeded",
                prefix + "capture-succeeded",
                prefix + "authorization-succeeded",
            ],
        )
        self.assertEqual(first.context["refund_id"], refund.id)

        for settlements in (self.transactions.settlements, self.transactions.refund_settlements):
            self.assertEqual(settlements.list(transaction_id=id).items, [])
            self.assert_not_found(lambda: settlements.list(transaction_id=unknown))
            self.assert_not_found(
                lambda: settlements.get(transaction_id=id, settlement_id=unknown)
            )


class Receiver(http.server.BaseHTTPRequestHandler):
    """Somebody who is told of events."""

    heard = []

    def do_POST(self):
        payload = self.rfile.read(int(self.headers["content-length"])).decode()
        self.heard.append((self.headers, payload))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Webhooks(unittest.TestCase):
    """Events that are told without asking."""

    def ask(self, path, body):
        """Subscriptions are not in the SDK."""
        request = urllib.request.Request(
            ACCESS["url"] + "/gr4vy/webhook-subscriptions" + path,
            data=json.dumps(body).encode(),
            headers={
                "authorization": "Bearer " + auth.with_token(ACCESS["gr4vy"])(),
                "content-type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def told(self, id):
        """The message that the refund with this id succeeded."""
        until = time.monotonic() + SETTLED_WITHIN_MAX_S
        while time.monotonic() < until:
            for headers, payload in Receiver.heard:
                event = json.loads(payload)
                if event["name"] == "refund.succeeded" and event["target"]["id"] == id:
                    return headers, payload
            time.sleep(0.05)
        self.fail("the refund was not told")

    def test_the_sdk_verifies_what_is_told_with_either_secret(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = self.ask("", {"url": f"http://127.0.0.1:{server.server_port}/hook"})
        secrets = [made["secret"], self.ask(f"/{made['id']}/rotate-secret", {"delta": 5})["secret"]]
        gr4vy = Gr4vy(
            server_url=ACCESS["url"],
            merchant_account_id=ACCESS["slug"],
            bearer_auth=auth.with_token(ACCESS["gr4vy"]),
        )
        refund = gr4vy.transactions.refunds.create(transaction_id=transaction(), amount=100)
        headers, payload = self.told(refund.id)
        signatures = headers["X-Gr4vy-Webhook-Signatures"]
        timestamp = headers["X-Gr4vy-Webhook-Timestamp"]
        for secret in secrets:
            verify_webhook(payload, secret, signatures, timestamp, 300)
        with self.assertRaisesRegex(ValueError, "No matching signature"):
            verify_webhook(payload, "another", signatures, timestamp, 300)
        target = json.loads(payload)["target"]
        self.assertEqual(models.Refund.model_validate(target).status, "succeeded")


class HistoryAtTheRoot(History, unittest.TestCase):
    """The face's paths as the original has them."""


class HistoryBelowThePrefix(History, unittest.TestCase):
    """The face's paths below its own prefix."""

    prefix = "/gr4vy"


class RefundsAtTheRoot(Refunds, unittest.TestCase):
    """The face's paths as the original has them."""


class RefundsBelowThePrefix(Refunds, unittest.TestCase):
    """The face's paths below its own prefix."""

    prefix = "/gr4vy"


class PaymentsAtTheRoot(Payments, unittest.TestCase):
    """The face's paths as the original has them."""


class PaymentsBelowThePrefix(Payments, unittest.TestCase):
    """The face's paths below its own prefix."""

    prefix = "/gr4vy"


if __name__ == "__main__":
    unittest.main()
