// @gr4vy/sdk, Gr4vy's official client for JavaScript. Amounts are in minor units.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { test } from "node:test";

import { Gr4vy, withToken } from "@gr4vy/sdk";
import * as errors from "@gr4vy/sdk/models/errors/index.js";

import { access, eventually, losesFirstAnswer, mounts, registered } from "./shop.mjs";

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

async function transaction(fields) {
  const { ids } = await registered(fields);
  return ids.uuid;
}

for (const { where, url } of mounts("/gr4vy")) {
  const gr4vy = client(url);
  const { refunds } = gr4vy.transactions;

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
}
