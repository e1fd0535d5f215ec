// @medusajs/js-sdk on payments: every way in which it writes queries, and captures. See medusa_v2.test.mjs
// for refunds.

import assert from "node:assert/strict";
import { test } from "node:test";

import Medusa, { FetchError } from "@medusajs/js-sdk";

import { access, mounts, registered } from "./shop.mjs";

function fetchError(status, message) {
  return (error) => {
    assert.ok(error instanceof FetchError, `${error}`);
    assert.deepEqual([error.status, error.message], [status, message]);
    return true;
  };
}

function invalid(message) {
  return fetchError(400, `Invalid request: ${message}`);
}

async function payment(fields) {
  const { ids } = await registered(fields);
  return ids.medusa;
}

function ids(payments) {
  return payments.map(({ id }) => id);
}

// No other suite registers payments of this year; the mounts take a month each.
const month = { "at the root": "1991-01", "below /medusa/v2": "1991-02" };

/** Three payments of one month, on its 1st, 2nd and 3rd, of 300, 100 and 200 dollars. */
async function three(where) {
  const made = [];
  for (const [day, amount] of [[1, 30000], [2, 10000], [3, 20000]]) {
    made.push(await payment({ amount, created_at: `${month[where]}-0${day}T12:00:00.500Z` }));
  }
  return made;
}

for (const { where, url } of mounts("/medusa/v2")) {
  const medusa = new Medusa({ baseUrl: url, apiKey: access.medusa_v2 });
  const payments = medusa.admin.payment;

  test(`v2 payments ${where}: lists are narrowed by arrays, operators and groups`, async () => {
    const [a, b, c] = await three(where);
    const noon = (day) => `${month[where]}-0${day}T12:00:00.500Z`;
    const session = (id) => id.replace("pay_", "payses_");
    const all = [a, b, c];
    for (const [query, expected] of [
      [{ id: all }, all],
      [{ id: [c, a, "pay_unknown"] }, [a, c]],
      [{ id: b }, [b]],
      [{ id: `${a},${b}` }, []],
      [{ payment_session_id: session(b) }, [b]],
      [{ payment_session_id: [session(b), session(c)], id: [a, b] }, [b]],
      [{ id: all, created_at: { $gt: noon(1) } }, [b, c]],
      [{ id: all, created_at: { $gte: new Date(noon(1)), $lt: new Date(noon(3)) } }, [a, b]],
      [{ id: all, created_at: { $lte: noon(2), $ne: noon(1) } }, [b]],
      [{ id: all, created_at: noon(3) }, [c]],
      [{ id: all, created_at: [noon(3), noon(1)] }, [a, c]],
      [{ id: all, created_at: { $in: [noon(3), noon(1)] } }, [a, c]],
      [{ id: all, created_at: { $nin: [noon(3), noon(1)] } }, [b]],
      [{ id: all, created_at: { $eq: noon(2) } }, [b]],
      [{ id: all, created_at: { $gte: `${month[where]}-02` } }, [b, c]],
      [{ id: all, updated_at: { $lt: "1970-01-01" } }, []],
      [{ id: all, deleted_at: { $gt: "1970-01-01" } }, []],
      [{ $or: [{ id: a }, { id: [c] }] }, [a, c]],
      [{ id: all, $or: [{ created_at: { $lt: noon(2) } }, { created_at: { $gt: noon(2) } }] }, [a, c]],
      [{ $and: [{ id: all }, { created_at: { $gt: noon(1) } }] }, [b, c]],
      [{ id: all, q: "what", with_deleted: true }, all],
      [{ id: all, order: undefined, limit: undefined }, all],
    ]) {
      const told = await payments.list(query);
      assert.deepEqual(ids(told.payments), expected, JSON.stringify(query));
      assert.equal(told.count, expected.length, JSON.stringify(query));
      assert.deepEqual([told.offset, told.limit], [0, 20]);
    }
  });

  test(`v2 payments ${where}: lists are ordered and paged, with the true count`, async () => {
    const [a, b, c] = await three(where);
    const id = [a, b, c];
    for (const [query, expected] of [
      [{ order: "id" }, [a, b, c]],
      [{ order: "-id" }, [c, b, a]],
      [{ order: "-created_at", limit: 2 }, [c, b]],
      [{ order: "created_at", offset: 1 }, [b, c]],
      [{ order: "updated_at", limit: 1, offset: 1 }, [b]],
      [{ order: "amount" }, [b, c, a]],
      [{ order: "-amount", limit: 1, offset: 1 }, [c]],
      [{ order: "-payment_collection.created_at" }, [c, b, a]],
      [{ limit: 0 }, []],
      [{ offset: 7 }, []],
    ]) {
      const told = await payments.list({ id, ...query });
      assert.deepEqual(ids(told.payments), expected, JSON.stringify(query));
      assert.equal(told.count, 3);
      assert.deepEqual([told.offset, told.limit], [query.offset ?? 0, query.limit ?? 20]);
    }
  });

  test(`v2 payments ${where}: a whole list is read page by page, each payment once`, async () => {
    const made = [];
    for (let n = 0; n < 7; n += 1) made.push(await payment());
    const seen = [];
    for (let offset = 0; ; offset += 3) {
      const told = await payments.list({ id: made, limit: 3, offset, fields: "id" });
      assert.equal(told.count, 7);
      if (told.payments.length === 0) break;
      seen.push(...ids(told.payments));
    }
    assert.deepEqual(seen, made);
  });

  test(`v2 payments ${where}: what a list cannot be asked is told`, async () => {
    for (const [query, message] of [
      [{ limit: "many" }, "Expected type: 'number' for field 'limit', got: 'many'"],
      [{ limit: -1 }, "Value for field 'limit' is negative"],
      [{ order: "nope" }, "Value for field 'order' is no column"],
      [{ created_at: { $gt: "soon" } }, "Value for field 'created_at' is no ISO 8601 time"],
      [{ currency_code: "usd" }, "Unrecognized fields: 'currency_code'"],
      [
        { id: { $in: ["pay_1"] } },
        "Expected type: 'string, array' for field 'id', got: '[object Object]'",
      ],
    ]) {
      await assert.rejects(payments.list(query), invalid(message), JSON.stringify(query));
    }
  });

  test(`v2 payments ${where}: fields choose what is shown, one by one and in lists`, async () => {
    const id = await payment({ metadata: { cart: "cart_1" } });
    await payments.refund(id, { amount: 40, note: "box was open" });
    for (const [fields, check] of [
      [undefined, (shown) => assert.equal(shown.refunded_amount, 40)],
      ["id,amount", (shown) => assert.deepEqual(shown, { id, amount: 100 })],
      ["+metadata", (shown) => assert.deepEqual(shown.metadata, { cart: "cart_1" })],
      ["-captures,-refunds", (shown) => assert.equal("captures" in shown || "refunds" in shown, false)],
      ["id,refunds.note", ({ refunds: [{ note }] }) => assert.equal(note, "box was open")],
      ["*refunds", ({ refunds: [refund] }) => assert.match(refund.created_by, /^apk_/)],
      ["refunds.*", ({ refunds: [refund] }) => assert.deepEqual(refund.raw_amount, { value: "40", precision: 20 })],
      ["id,*payment_collection", ({ payment_collection: of }) => assert.equal(of.refunded_amount, 40)],
      ["id,nothing,refunds", (shown) => assert.deepEqual(shown, { id })],
    ]) {
      const one = await payments.retrieve(id, fields === undefined ? undefined : { fields });
      check(one.payment);
      const [listed] = (await payments.list({ id, fields })).payments;
      assert.deepEqual(listed, one.payment, fields);
    }
    await assert.rejects(payments.retrieve(id, { limit: 1 }), invalid("Unrecognized fields: 'limit'"));
  });

  test(`v2 payments ${where}: captures, in parts and with the rest`, async () => {
    const id = await payment({ captures: [] });
    const part = await payments.capture(id, { amount: 30 }, { fields: "captured_at,*captures" });
    assert.equal(part.payment.captured_at, null);
    assert.equal(part.payment.captures[0].amount, 30);
    assert.match(part.payment.captures[0].created_by, /^apk_/);

    const tooMuch =
      "You cannot capture more than the authorized amount substracted by what is already captured.";
    for (const body of [{}, { amount: 70.01 }]) {
      await assert.rejects(payments.capture(id, body), fetchError(400, tooMuch));
    }
    const rest = await payments.capture(id, { amount: 70 });
    assert.notEqual(rest.payment.captured_at, null);
    assert.deepEqual(await payments.capture(id, {}), rest, "all is captured: as it is");
    await assert.rejects(
      payments.capture(id, { amount: "1" }),
      invalid("Expected type: 'number' for field 'amount', got: '1'"),
    );
    const unknown = "pay_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    await assert.rejects(
      payments.capture(unknown, {}),
      fetchError(404, `Payment with id: ${unknown} was not found`),
    );
  });

  test(`v2 payments ${where}: a capture's key captures once`, async () => {
    const id = await payment({ captures: [] });
    const key = { "idempotency-key": `v2-capture-${id}` };

    const first = await payments.capture(id, { amount: 30 }, {}, key);
    await payments.refund(id, { amount: 1 });
    assert.deepEqual(await payments.capture(id, { amount: 30 }, {}, key), first);

    await assert.rejects(
      payments.capture(id, { amount: 31 }, {}, key),
      (error) => error instanceof FetchError && error.status === 422,
    );
    const { payment: read } = await payments.retrieve(id);
    assert.deepEqual([read.captured_amount, read.refunded_amount], [30, 1]);
  });

  test(`v2 payments ${where}: of ten captures at once, those that fit are made`, async () => {
    const id = await payment({ captures: [] });
    const answers = await Promise.allSettled(
      Array.from({ length: 10 }, () => payments.capture(id, { amount: 30 })),
    );
    assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 3);
    const { payment: read } = await payments.retrieve(id);
    assert.deepEqual([read.captures.length, read.captured_amount], [3, 90]);
  });

  test(`v2 payments ${where}: a capture that the provider declines is its error, and takes nothing`, async () => {
    const id = await payment({
      captures: [],
      sandbox: ["capture:decline:not_allowed:The card was closed"],
    });
    await assert.rejects(payments.capture(id, {}), fetchError(400, "The card was closed"));
    const { payment: read } = await payments.retrieve(id);
    assert.deepEqual([read.captures, read.captured_amount, read.captured_at], [[], 0, null]);
  });
}
