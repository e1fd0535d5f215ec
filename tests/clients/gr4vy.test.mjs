// @gr4vy/sdk, Gr4vy's official client for JavaScript. Amounts are in minor units.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { test } from "node:test";

import { Gr4vy, getToken, verifyWebhook, withToken } from "@gr4vy/sdk";
import * as errors from "@gr4vy/sdk/models/errors/index.js";

import {
  access,
  eventually,
  losesFirstAnswer,
  mounts,
  receiver,
  registered,
} from "./shop.mjs";

const CARD = "4242424242424242";
const CARD_DECLINED = "4000000000009995";
const GIFT_CARD = "4123455541234567";

/** What the SDK throws: an error class for each status, with the members of the answer. */
function typed(Class, { code, status, message, pointer }) {
  return (error) => {
    assert.ok(error instanceof Class, `${error.constructor.name}: ${error}`);
    assert.equal(error.type, "error");
    assert.equal(error.code, code);
    assert.equal(error.status, status);
    assert.ok(error.message.length > 0);
    if (message) assert.equal(error.message, message);
    if (pointer) assert.deepEqual(error.details.map((detail) => detail.pointer), [pointer]);
    return true;
  };
}

const badAmount = typed(errors.Error400, { code: "bad_request", status: 400, pointer: "/amount" });
const notFound = typed(errors.Error404, { code: "not_found", status: 404 });

function client(url, privateKey = access.gr4vy, merchantAccountId = access.slug) {
  return new Gr4vy({ serverURL: url, merchantAccountId, bearerAuth: withToken({ privateKey }) });
}

/** A card of the sandbox, which takes every number but a few test cards. */
function card(number = CARD) {
  return { method: "card", number, expirationDate: "12/30", securityCode: "123" };
}

async function transaction(fields) {
  const { ids } = await registered(fields);
  return ids.uuid;
}

for (const { where, url } of mounts("/gr4vy")) {
  const gr4vy = client(url);
  const { transactions } = gr4vy;
  const { refunds } = transactions;

  /** Makes a transaction of 1299, authorised with a good card unless `fields` say otherwise. */
  function created(fields, idempotencyKey) {
    const payment = { amount: 1299, currency: "USD", paymentMethod: card(), ...fields };
    return transactions.create(payment, undefined, idempotencyKey);
  }

  test(`gr4vy ${where}: an authorization is captured and refunded`, async () => {
    const made = await created({ externalIdentifier: randomUUID(), metadata: { order: "1" } });
    assert.equal(made.status, "authorization_succeeded");
    assert.equal(made.intent, "authorize");
    assert.equal(made.intentOutcome, "succeeded");
    assert.deepEqual(made.metadata, { order: "1" });
    assert.equal(made.paymentMethod.label, CARD.slice(-4));
    assert.equal(made.paymentMethod.scheme, "visa");
    assert.equal(made.paymentMethod.details.bin, CARD.slice(0, 8));
    assert.deepEqual(await transactions.get(made.id), made);

    const captured = await transactions.capture({
      transactionId: made.id,
      transactionCaptureCreate: {},
    });
    assert.equal(captured.type, "transaction");
    assert.equal(captured.status, "capture_succeeded");
    assert.equal(captured.capturedAmount, 1299);
    assert.ok(captured.capturedAt);

    assert.equal((await refunds.create({ amount: 299 }, made.id)).status, "succeeded");
    const { items } = await refunds.all.create(made.id);
    assert.deepEqual(items.map(({ amount }) => amount), [1000]);
    assert.equal((await transactions.get(made.id)).refundedAmount, 1299);
  });

  test(`gr4vy ${where}: a direct capture shows all that it was made with`, async () => {
    const address = { city: "San Jose", country: "US", line1: "29th Street" };
    const made = await created({
      intent: "capture",
      country: "US",
      paymentSource: "recurring",
      merchantInitiated: true,
      isSubsequentPayment: true,
      store: true,
      buyer: {
        displayName: "John Doe",
        externalIdentifier: "buyer-1",
        billingDetails: { firstName: "John", address, taxId: { value: "1", kind: "us.ein" } },
        shippingDetails: { firstName: "Jane", address },
      },
      cartItems: [{ name: "Shoe", quantity: 1, unitAmount: 1299, categories: ["a"] }],
      airline: {
        bookingCode: "X36Q9C",
        issuedAt: new Date("2013-07-16T19:23:00Z"),
        legs: [{ flightNumber: "101" }],
      },
      recipient: { firstName: "A", lastName: "B" },
      statementDescriptor: { name: "Shop" },
      taxAmount: 10,
      amountIncludesTax: true,
      purchaseOrderNumber: "po-1",
      description: "a shoe",
      connectionOptions: {},
    });
    assert.equal(made.status, "capture_succeeded");
    assert.deepEqual([made.country, made.paymentSource], ["US", "recurring"]);
    assert.ok(made.merchantInitiated && made.isSubsequentPayment);
    assert.equal(made.buyer.externalIdentifier, "buyer-1");
    assert.equal(made.buyer.billingDetails.address.city, "San Jose");
    assert.equal(made.shippingDetails.firstName, "Jane");
    assert.equal(made.cartItems[0].unitAmount, 1299);
    assert.equal(made.airline.issuedAt.getTime(), Date.parse("2013-07-16T19:23:00Z"));
    assert.equal(made.airline.legs[0].flightNumber, "101");
    assert.equal(made.recipient.lastName, "B");
    assert.equal(made.statementDescriptor.name, "Shop");
    assert.deepEqual([made.taxAmount, made.purchaseOrderNumber], [10, "po-1"]);
    assert.deepEqual(await transactions.get(made.id), made);
  });

  test(`gr4vy ${where}: a declined card makes a declined transaction`, async () => {
    const made = await created({ paymentMethod: card(CARD_DECLINED), intent: "capture" });
    assert.equal(made.status, "authorization_declined");
    assert.equal(made.errorCode, "insufficient_funds");
    assert.equal(made.rawResponseCode, "51");
    assert.equal(made.intentOutcome, "failed");
    assert.equal(made.capturedAmount, 0);
    const capture = { transactionId: made.id, transactionCaptureCreate: {} };
    await assert.rejects(transactions.capture(capture), badAmount);
  });

  // This SDK knows final captures only: what is left over is let go.
  test(`gr4vy ${where}: a capture of a part is told as a capture where that is preferred`, async () => {
    const { id } = await created();
    const over = { transactionId: id, transactionCaptureCreate: { amount: 1300 } };
    await assert.rejects(transactions.capture(over), badAmount);
    const part = { transactionId: id, transactionCaptureCreate: { amount: 300 } };
    const told = await transactions.capture({ ...part, prefer: ["resource=transaction-capture"] });
    assert.equal(told.type, "transaction-capture");
    assert.equal(told.status, "succeeded");
    assert.equal(told.transaction.capturedAmount, 300);
    await assert.rejects(transactions.capture(part), badAmount);
  });

  test(`gr4vy ${where}: a capture that is declined is told and takes nothing`, async () => {
    const { id } = await created({ amount: 500001 });
    const capture = { transactionId: id, transactionCaptureCreate: {} };
    const told = await transactions.capture({
      ...capture,
      prefer: ["resource=transaction-capture"],
    });
    assert.equal(told.status, "declined");
    assert.equal(told.code, "issuer_decline");
    assert.equal(told.transaction.status, "authorization_succeeded");
    assert.equal((await transactions.capture(capture)).capturedAmount, 0);
  });

  test(`gr4vy ${where}: an authorization is voided`, async () => {
    const { id } = await created();
    const voided = await transactions.void(id, ["resource=transaction-void"]);
    assert.equal(voided.type, "transaction-void");
    assert.equal(voided.status, "succeeded");
    assert.equal(voided.transaction.status, "authorization_voided");
    assert.ok(voided.transaction.voidedAt);
    const other = await transactions.void((await created()).id);
    assert.equal(other.type, "transaction");
    await assert.rejects(transactions.void(id), errors.Error400);
  });

  test(`gr4vy ${where}: a cancel is for what waits, and a sync changes nothing`, async () => {
    const made = await created();
    const cancel = await transactions.cancel(made.id);
    assert.equal(cancel.type, "transaction-cancel");
    assert.equal(cancel.status, "failed");
    assert.deepEqual(cancel.transaction, made);
    assert.deepEqual(await transactions.sync(made.id), made);
  });

  test(`gr4vy ${where}: an update replaces the metadata, and a name is of one transaction`, async () => {
    const name = randomUUID();
    const first = await created({ externalIdentifier: name, metadata: { a: "1", b: "2" } });
    const taken = typed(errors.Error409, { code: "duplicate_record", status: 409 });
    await assert.rejects(created({ externalIdentifier: name }), taken);
    const updated = await transactions.update({ metadata: { c: "3" } }, first.id);
    assert.deepEqual(updated.metadata, { c: "3" });
    assert.equal(updated.externalIdentifier, name);
    const other = await created();
    await assert.rejects(transactions.update({ externalIdentifier: name }, other.id), taken);
    const renamed = await transactions.update({ externalIdentifier: randomUUID() }, other.id);
    assert.deepEqual(await transactions.get(other.id), renamed);
  });

  test(`gr4vy ${where}: gift cards pay first, and a refund of all reaches each`, async () => {
    const giftCards = [{ number: GIFT_CARD, pin: "0123", amount: 500 }];
    const made = await created({ intent: "capture", giftCards });
    assert.equal(made.amount, 1299);
    assert.equal(made.capturedAmount, 799);
    const [redemption] = made.giftCardRedemptions;
    assert.equal(redemption.status, "succeeded");
    assert.equal(redemption.giftCard.bin, "412345");
    assert.equal(redemption.giftCard.last4, "4567");
    const { items } = await refunds.all.create(made.id);
    assert.deepEqual(items.map(({ amount }) => amount), [799, 500]);
  });

  test(`gr4vy ${where}: the same idempotency key takes and lets go once`, async () => {
    const key = randomUUID();
    const first = await created({}, key);
    assert.deepEqual(await created({}, key), first);
    await assert.rejects(
      created({ amount: 1300 }, key),
      typed(errors.Error409, { code: "idempotency_mismatch", status: 409 }),
    );
    const part = {
      transactionId: first.id,
      idempotencyKey: key,
      transactionCaptureCreate: { amount: 100 },
    };
    const captured = await transactions.capture(part);
    assert.deepEqual(await transactions.capture(part), captured);
    assert.equal((await transactions.get(first.id)).capturedAmount, 100);
    const { id } = await created();
    const voided = () => transactions.void(id, undefined, undefined, key);
    assert.deepEqual(await voided(), await voided());
  });

  test(`gr4vy ${where}: an answer lost on the way is asked for again, and one payment is taken`, async (t) => {
    const way = await losesFirstAnswer();
    t.after(way.close);
    const backoff = { initialInterval: 50, maxInterval: 200, exponent: 1.5, maxElapsedTime: 10_000 };
    const name = randomUUID();
    const payment = {
      amount: 1299,
      currency: "USD",
      paymentMethod: card(),
      externalIdentifier: name,
    };
    const made = await client(url.replace(access.url, way.url)).transactions.create(
      payment,
      undefined,
      randomUUID(),
      undefined,
      { retries: { strategy: "backoff", backoff, retryConnectionErrors: true } },
    );
    assert.equal(way.sent, 2);
    assert.equal(made.externalIdentifier, name);
  });

  test(`gr4vy ${where}: what is wrong with a payment is a typed error`, async () => {
    const unknown = randomUUID();
    await assert.rejects(
      created({ paymentMethod: { method: "id", id: unknown } }),
      typed(errors.Error400, { code: "bad_request", status: 400, pointer: "/payment_method/id" }),
    );
    await assert.rejects(created({ amount: -1 }), badAmount);
    await assert.rejects(created({ amount: 100000000 }), badAmount);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-521" });
    const stranger = client(url, privateKey.export({ type: "pkcs8", format: "pem" }));
    const reader = new Gr4vy({
      serverURL: url,
      merchantAccountId: access.slug,
      bearerAuth: withToken({ privateKey: access.gr4vy, scopes: ["*.read"] }),
    });
    const calls = [
      ({ transactions }) =>
        transactions.capture({ transactionId: unknown, transactionCaptureCreate: {} }),
      ({ transactions }) => transactions.void(unknown),
      ({ transactions }) => transactions.cancel(unknown),
      ({ transactions }) => transactions.update({}, unknown),
    ];
    for (const call of calls) {
      await assert.rejects(call(stranger), typed(errors.Error401, { code: "unauthorized", status: 401 }));
      await assert.rejects(call(reader), typed(errors.Error403, { code: "forbidden", status: 403 }));
      await assert.rejects(call(gr4vy), notFound);
    }
    await assert.rejects(transactions.sync(unknown), notFound);
  });

  test(`gr4vy ${where}: no amount refunds all that is left`, async () => {
    const id = await transaction({ external_identifier: `js-${where}` });

    const refund = await refunds.create({}, id);

    assert.equal(refund.type, "refund");
    assert.equal(refund.transactionId, id);
    assert.equal(refund.status, "succeeded");
    assert.equal(refund.amount, 10000);
    assert.equal(refund.currency, "USD");
    assert.equal(refund.targetType, "payment-method");
    assert.equal(refund.transactionExternalIdentifier, `js-${where}`);
    assert.match(refund.reconciliationId, /^[0-9A-Za-z]{1,22}$/);
    assert.ok(Math.abs(refund.createdAt - Date.now()) < 600_000, `${refund.createdAt}`);
    const read = await gr4vy.transactions.get(id);
    assert.equal(read.status, "capture_succeeded");
    assert.equal(read.capturedAmount, 10000);
    assert.equal(read.refundedAmount, 10000);
  });

  test(`gr4vy ${where}: partial refunds are read by both routes and in the list`, async () => {
    const id = await transaction();

    const first = await refunds.create(
      { amount: 4000, reason: "box was open", externalIdentifier: "return-1" },
      id,
    );
    const second = await refunds.create({ amount: 999 }, id);
    const rest = await refunds.create({}, id);

    assert.equal(first.reason, "box was open");
    assert.equal(first.externalIdentifier, "return-1");
    assert.equal(rest.amount, 5001);
    assert.deepEqual(await refunds.get(id, first.id), first);
    assert.deepEqual(await gr4vy.refunds.get(first.id), first);
    const { items } = await refunds.list(id);
    assert.deepEqual(
      items.map((item) => item.id).sort(),
      [first.id, second.id, rest.id].sort(),
    );
    assert.equal((await gr4vy.transactions.get(id)).refundedAmount, 10000);
  });

  test(`gr4vy ${where}: more than is left is refused, and nothing is refunded`, async () => {
    const id = await transaction();

    await assert.rejects(refunds.create({ amount: 10001 }, id), badAmount);
    await refunds.create({ amount: 10000 }, id);
    await assert.rejects(refunds.create({ amount: 1 }, id), badAmount);
    await assert.rejects(refunds.create({}, id), badAmount);

    assert.equal((await refunds.list(id)).items.length, 1);
  });

  test(`gr4vy ${where}: what was not captured is not refunded`, async () => {
    const id = await transaction({ captures: [] });
    await assert.rejects(refunds.create({}, id), badAmount);
  });

  test(`gr4vy ${where}: unknown ids are not found, on every route`, async () => {
    const id = await transaction();
    const unknown = randomUUID();
    const refund = await refunds.create({ amount: 1 }, id);

    await assert.rejects(refunds.create({ amount: 1 }, unknown), notFound);
    await assert.rejects(refunds.all.create(unknown), notFound);
    await assert.rejects(refunds.list(unknown), notFound);
    await assert.rejects(refunds.get(id, unknown), notFound);
    await assert.rejects(refunds.get(unknown, refund.id), notFound);
    await assert.rejects(gr4vy.refunds.get(unknown), notFound);
    await assert.rejects(gr4vy.transactions.get(unknown), notFound);
  });

  test(`gr4vy ${where}: another merchant's transaction is not found either`, async () => {
    const id = await transaction();
    const other = client(url, access.other.gr4vy, access.other.slug);
    await assert.rejects(other.transactions.refunds.create({ amount: 1 }, id), notFound);
    const foreign = client(url, access.other.gr4vy, access.slug);
    await assert.rejects(foreign.transactions.refunds.create({ amount: 1 }, id), notFound);
  });

  test(`gr4vy ${where}: amounts that are none are refused`, async () => {
    const id = await transaction();
    for (const amount of [0, -1, 100000000]) {
      await assert.rejects(refunds.create({ amount }, id), badAmount);
    }
    assert.deepEqual((await refunds.list(id)).items, []);
  });

  test(`gr4vy ${where}: an id that is no UUID is a bad request`, async () => {
    await assert.rejects(
      refunds.create({ amount: 1 }, "not-a-uuid"),
      typed(errors.Error400, { code: "bad_request", status: 400 }),
    );
  });

  test(`gr4vy ${where}: a token of a key that is not registered is unauthorized`, async () => {
    const id = await transaction();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-521" });
    const stranger = client(url, privateKey.export({ type: "pkcs8", format: "pem" }));
    await assert.rejects(
      stranger.transactions.refunds.create({ amount: 1 }, id),
      typed(errors.Error401, {
        code: "unauthorized",
        status: 401,
        message: "No valid API authentication found",
      }),
    );
  });

  test(`gr4vy ${where}: a token without the scope may read but not refund`, async () => {
    const id = await transaction();
    const reader = new Gr4vy({
      serverURL: url,
      merchantAccountId: access.slug,
      bearerAuth: withToken({ privateKey: access.gr4vy, scopes: ["*.read"] }),
    });
    assert.equal((await reader.transactions.get(id)).id, id);
    await assert.rejects(
      reader.transactions.refunds.create({ amount: 1 }, id),
      typed(errors.Error403, { code: "forbidden", status: 403 }),
    );
  });

  test(`gr4vy ${where}: without a merchant account the key's own is used`, async () => {
    const id = await transaction();
    const refund = await client(url, access.gr4vy, null).transactions.refunds.create({}, id);
    assert.equal(refund.amount, 10000);
  });

  test(`gr4vy ${where}: a refund that the payment provider declines is made, declined, and its money is free`, async () => {
    const id = await transaction({ sandbox: ["decline:51"] });

    const declined = await refunds.create({ amount: 10000 }, id);
    assert.equal(declined.status, "declined");
    assert.equal(declined.rawResponseCode, "51");
    assert.equal(typeof declined.errorCode, "string");
    assert.equal((await gr4vy.transactions.get(id)).refundedAmount, 0);

    const second = await refunds.create({ amount: 10000 }, id);
    assert.equal(second.status, "succeeded");
  });

  test(`gr4vy ${where}: a refund whose outcome is unknown is processing, then succeeds`, async () => {
    const id = await transaction({ sandbox: ["lost:never"] });

    const refund = await refunds.create({ amount: 6000 }, id);

    assert.equal(refund.status, "processing");
    await assert.rejects(refunds.create({ amount: 6000 }, id), badAmount);
    const settled = await eventually(
      () => gr4vy.refunds.get(refund.id),
      ({ status }) => status !== "processing",
    );
    assert.equal(settled.status, "succeeded");
    assert.equal((await gr4vy.transactions.get(id)).refundedAmount, 6000);
  });

  test(`gr4vy ${where}: a refund that the payment provider settles later`, async () => {
    for (const [script, status] of [
      ["pending:approve", "succeeded"],
      ["pending:decline:51", "declined"],
    ]) {
      const id = await transaction({ sandbox: [script] });
      const refund = await refunds.create({ amount: 100 }, id);
      const settled = await eventually(
        () => refunds.get(id, refund.id),
        (read) => read.status !== "processing",
      );
      assert.equal(settled.status, status, script);
    }
  });

  test(`gr4vy ${where}: the same idempotency key gives the same refund, once`, async () => {
    const id = await transaction();
    const key = randomUUID();

    const first = await refunds.create({ amount: 1000 }, id, undefined, key);
    const again = await refunds.create({ amount: 1000 }, id, undefined, key);
    assert.deepEqual(again, first);

    await assert.rejects(
      refunds.create({ amount: 1001 }, id, undefined, key),
      typed(errors.Error409, { code: "idempotency_mismatch", status: 409 }),
    );
    assert.equal((await refunds.list(id)).items.length, 1);
  });

  test(`gr4vy ${where}: an answer lost on the way is asked for again, and the money moves once`, async (t) => {
    const id = await transaction();
    const way = await losesFirstAnswer();
    t.after(way.close);
    const backoff = { initialInterval: 50, maxInterval: 200, exponent: 1.5, maxElapsedTime: 10_000 };

    const refund = await client(url.replace(access.url, way.url)).transactions.refunds.create(
      { amount: 1000 },
      id,
      undefined,
      randomUUID(),
      { retries: { strategy: "backoff", backoff, retryConnectionErrors: true } },
    );

    assert.equal(way.sent, 2);
    assert.deepEqual(
      (await refunds.list(id)).items.map((item) => item.id),
      [refund.id],
    );
  });

  test(`gr4vy ${where}: a gift card is refunded by the id of its redemption`, async () => {
    const id = await transaction({ gift_cards: [{ id: randomUUID(), amount: 2500 }] });
    const [redemption] = (await gr4vy.transactions.get(id)).giftCardRedemptions;
    assert.equal(redemption.amount, 2500);
    const toGiftCard = { targetType: "gift-card-redemption", targetId: redemption.id };

    const partial = await refunds.create({ ...toGiftCard, amount: 500 }, id);
    assert.equal(partial.targetType, "gift-card-redemption");
    assert.equal(partial.targetId, redemption.id);
    await assert.rejects(refunds.create({ ...toGiftCard, amount: 2001 }, id), badAmount);
    const rest = await refunds.create(toGiftCard, id);
    assert.equal(rest.amount, 2000);

    const read = await gr4vy.transactions.get(id);
    assert.equal(read.refundedAmount, 0);
    assert.equal(read.giftCardRedemptions[0].refundedAmount, 2500);
  });

  test(`gr4vy ${where}: a gift card needs its redemption, and one that exists`, async () => {
    const id = await transaction({ gift_cards: [{ id: randomUUID(), amount: 2500 }] });
    const targetType = "gift-card-redemption";
    await assert.rejects(refunds.create({ targetType }, id), errors.Error400);
    await assert.rejects(refunds.create({ targetType, targetId: randomUUID() }, id), errors.Gr4vyError);
    assert.deepEqual((await refunds.list(id)).items, []);
  });

  test(`gr4vy ${where}: refund all gives back what is left on each instrument`, async () => {
    const id = await transaction({ gift_cards: [{ id: randomUUID(), amount: 2500 }] });
    await refunds.create({ amount: 4000 }, id);

    const { items } = await refunds.all.create(id, { reason: "shop closed" });

    assert.deepEqual(
      items.map((item) => [item.targetType, item.amount, item.reason]).sort(),
      [
        ["gift-card-redemption", 2500, "shop closed"],
        ["payment-method", 6000, "shop closed"],
      ],
    );
    await assert.rejects(refunds.all.create(id), errors.Error400);
  });

  test(`gr4vy ${where}: refund all takes the three bodies that the SDK sends`, async () => {
    for (const body of [undefined, null, {}]) {
      const id = await transaction();
      const { items } = await refunds.all.create(id, body);
      assert.deepEqual(items.map((item) => item.amount), [10000], `${JSON.stringify(body)}`);
    }
  });

  test(`gr4vy ${where}: of twenty full refunds at once, exactly one is made`, async () => {
    const id = await transaction();

    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, () => refunds.create({ amount: 10000 }, id)),
    );

    assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 1);
    for (const { reason } of answers.filter(({ status }) => status === "rejected")) {
      assert.ok(badAmount(reason));
    }
    assert.equal((await refunds.list(id)).items.length, 1);
  });

  test(`gr4vy ${where}: the client's pager meets every transaction once`, async () => {
    const mark = JSON.stringify({ mark: randomUUID() });
    const made = [];
    for (let n = 0; n < 5; n += 1) made.push(await transaction({ metadata: JSON.parse(mark) }));

    const pages = [];
    for await (const { result } of await transactions.list({ metadata: [mark], limit: 2 })) {
      assert.equal(result.limit, 2);
      pages.push(result.items);
    }

    assert.deepEqual(pages.map((items) => items.length), [2, 2, 1]);
    assert.deepEqual(pages.flat().map(({ id }) => id).sort(), made.toSorted());
    const [{ type, capturedAmount, giftCardRedemptions }] = pages[0];
    assert.deepEqual([type, capturedAmount, giftCardRedemptions], ["transaction", 10000, []]);
  });

  test(`gr4vy ${where}: a list is narrowed by what the client writes`, async () => {
    const externalIdentifier = randomUUID();
    const id = await transaction({ external_identifier: externalIdentifier });
    await refunds.create({ amount: 1 }, id);
    const { createdAt, updatedAt, reconciliationId } = await transactions.get(id);
    const found = async (filters) => {
      const { result } = await transactions.list({ externalIdentifier, ...filters });
      return result.items.map((item) => item.id);
    };
    for (const filters of [
      { id, reconciliationId, hasRefunds: true },
      { status: ["capture_succeeded"], currency: ["USD", "EUR"] },
      { amountEq: 10000, createdAtGte: createdAt, updatedAtLte: updatedAt },
      { search: externalIdentifier.slice(4).toUpperCase(), cursor: null, buyerId: null },
    ]) {
      assert.deepEqual(await found(filters), [id], JSON.stringify(filters));
    }
    for (const filters of [{ hasRefunds: false }, { amountGte: 10001 }, { method: ["paypal"] }]) {
      assert.deepEqual(await found(filters), [], JSON.stringify(filters));
    }
    await assert.rejects(
      transactions.list({ cursor: "x" }),
      typed(errors.Error400, { code: "bad_request", status: 400, pointer: "cursor" }),
    );
  });

  test(`gr4vy ${where}: events and settlements are read`, async () => {
    const id = await transaction();
    const refund = await refunds.create({ amount: 1500 }, id);

    const events = [];
    for await (const { result } of await transactions.events.list(id, undefined, 2)) {
      events.push(...result.items);
    }

    const prefix = "payment-connector-response-transaction-";
    assert.deepEqual(
      events.map(({ name }) => name.replace(prefix, "")),
      ["capture-reversal-succeeded", "capture-succeeded", "authorization-succeeded"],
    );
    assert.equal(events[0].context.refund_id, refund.id);
    assert.deepEqual((await transactions.settlements.list(id)).items, []);
    await assert.rejects(transactions.settlements.list(randomUUID()), notFound);
    await assert.rejects(transactions.settlements.get(id, randomUUID()), notFound);
  });
}

/** Subscriptions are not in the SDK. */
async function subscriptions(path, method, body) {
  const token = await getToken({ privateKey: access.gr4vy });
  const response = await fetch(`${access.url}/gr4vy/webhook-subscriptions${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.ok(response.ok, `${response.status}`);
  return response.status === 204 ? undefined : response.json();
}

test("gr4vy: events are told, and the SDK verifies them, also while a secret is rotated", async () => {
  const told = await receiver();
  const { id, secret } = await subscriptions("", "POST", { url: told.url });
  const { refunds } = client(access.url).transactions;
  const transactionId = await transaction();
  const verified = ({ payload, headers }, key) =>
    verifyWebhook(
      payload,
      key,
      headers["x-gr4vy-webhook-signatures"],
      headers["x-gr4vy-webhook-timestamp"],
      300,
    );
  const succeeded = async (refund) => {
    const isIt = ({ payload }) => {
      const event = JSON.parse(payload);
      return event.name === "refund.succeeded" && event.target.id === refund.id;
    };
    const heard = await eventually(() => told.heard.find(isIt), Boolean);
    assert.ok(heard, "the refund was told");
    return heard;
  };
  const first = await succeeded(await refunds.create({ amount: 100 }, transactionId));
  verified(first, secret);
  assert.throws(() => verified(first, "another"), /No matching signature/);
  assert.throws(() => verified({ ...first, payload: `${first.payload} ` }, secret));
  const event = JSON.parse(first.payload);
  assert.equal(event.id, first.headers["x-gr4vy-webhook-id"]);
  assert.equal(event.merchant_account_id, access.slug);
  const rotated = await subscriptions(`/${id}/rotate-secret`, "POST", { delta: 5 });
  const second = await succeeded(await refunds.create({ amount: 200 }, transactionId));
  verified(second, secret);
  verified(second, rotated.secret);
  await subscriptions(`/${id}`, "DELETE");
  told.close();
});
