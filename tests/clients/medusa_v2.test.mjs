// @medusajs/js-sdk, the official client of Medusa v2. Amounts are in major units, as this API has them.

import assert from "node:assert/strict";
import { test } from "node:test";

import Medusa, { FetchError } from "@medusajs/js-sdk";

import { access, mounts, registered } from "./shop.mjs";

/** What the SDK throws: a FetchError with the status and the message of the answer. */
function fetchError(status, message) {
  return (error) => {
    assert.ok(error instanceof FetchError, `${error}`);
    assert.equal(error.message, message);
    assert.equal(error.status, status);
    return true;
  };
}

async function payment(fields) {
  const { ids } = await registered(fields);
  return ids.medusa;
}

function amounts(rows) {
  return rows.map((row) => row.amount);
}

for (const { where, url } of mounts("/medusa/v2")) {
  const medusa = new Medusa({ baseUrl: url, apiKey: access.medusa_v2 });
  const refunds = medusa.admin.payment;

  test(`v2 ${where}: no amount refunds the whole payment`, async () => {
    const id = await payment();

    const answer = await refunds.refund(id, {});

    assert.equal(answer.payment.id, id);
    assert.equal(answer.payment.amount, 100);
    assert.equal(answer.payment.currency_code, "usd");
    assert.deepEqual(amounts(answer.payment.captures), [100]);
    assert.deepEqual(amounts(answer.payment.refunds), [100]);
    assert.equal(answer.payment.refunded_amount, 100);
  });

  test(`v2 ${where}: partial refunds are listed, oldest first, when the payment is read`, async () => {
    const id = await payment();

    await refunds.refund(id, { amount: 40, note: "box was open" });
    await refunds.refund(id, { amount: 9.99 });

    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(
      read.refunds.map(({ amount, note, payment_id }) => ({ amount, note, payment_id })),
      [
        { amount: 40, note: "box was open", payment_id: id },
        { amount: 9.99, note: null, payment_id: id },
      ],
    );
    assert.match(read.refunds[0].id, /^ref_[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.equal(read.captured_amount, 100);
    assert.equal(read.refunded_amount, 49.99);
  });

  test(`v2 ${where}: decimals follow the currency`, async () => {
    for (const [currency, amount, refund, shown] of [
      ["USD", 10001, 33.34, 33.34],
      ["JPY", 10000, 3000, 3000],
      ["KWD", 10000, 1.299, 1.299],
    ]) {
      const id = await payment({ currency, amount });
      const answer = await refunds.refund(id, { amount: refund });
      assert.deepEqual(amounts(answer.payment.refunds), [shown], currency);
    }
  });

  test(`v2 ${where}: a refund carries its reason`, async () => {
    const id = await payment();
    const { refund_reason } = await medusa.admin.refundReason.create({
      label: "Box was open",
      code: "box_open",
    });
    const { refund_reasons } = await medusa.admin.refundReason.list();
    assert.ok(refund_reasons.some((listed) => listed.id === refund_reason.id));

    await refunds.refund(id, { amount: 1, refund_reason_id: refund_reason.id });

    const { payment: read } = await refunds.retrieve(id);
    assert.equal(read.refunds[0].refund_reason_id, refund_reason.id);
    assert.deepEqual(read.refunds[0].refund_reason, {
      label: "Box was open",
      code: "box_open",
      id: refund_reason.id,
    });
    const unknown = "refr_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    await assert.rejects(
      refunds.refund(id, { amount: 1, refund_reason_id: unknown }),
      fetchError(404, `RefundReason id not found: ${unknown}`),
    );
  });

  test(`v2 ${where}: the payment is found in the list, with its refunds`, async () => {
    const id = await payment();
    await refunds.refund(id, { amount: 1 });

    const { payments, count } = await refunds.list({ id });

    assert.equal(count, 1);
    assert.equal(payments[0].id, id);
    assert.deepEqual(amounts(payments[0].refunds), [1]);
  });

  test(`v2 ${where}: a payment is captured and then refunded`, async () => {
    const id = await payment({ captures: [] });

    const captured = await refunds.capture(id, { amount: 60 });
    assert.deepEqual(amounts(captured.payment.captures), [60]);

    const refunded = await refunds.refund(id, { amount: 60 });
    assert.deepEqual(amounts(refunded.payment.refunds), [60]);
  });

  test(`v2 ${where}: more than was captured is refused, and nothing is refunded`, async () => {
    const id = await payment();
    const tooMuch = "You are not allowed to refund more than the captured amount";

    await assert.rejects(refunds.refund(id, { amount: 100.01 }), fetchError(400, tooMuch));
    await refunds.refund(id, { amount: 70 });
    await assert.rejects(refunds.refund(id, { amount: 30.01 }), fetchError(400, tooMuch));
    await assert.rejects(
      refunds.refund(id, {}),
      fetchError(400, "You cannot refund more than what is captured on the payment."),
    );

    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(amounts(read.refunds), [70]);
  });

  test(`v2 ${where}: an unknown payment is not found`, async () => {
    const id = "pay_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    await assert.rejects(
      refunds.refund(id, { amount: 1 }),
      fetchError(404, `Payment id not found: ${id}`),
    );
    await assert.rejects(refunds.retrieve(id), (error) => error.status === 404);
  });

  test(`v2 ${where}: another merchant's payment is not found either`, async () => {
    const id = await payment();
    const other = new Medusa({ baseUrl: url, apiKey: access.other.medusa_v2 });

    await assert.rejects(
      other.admin.payment.refund(id, { amount: 1 }),
      fetchError(404, `Payment id not found: ${id}`),
    );
  });

  test(`v2 ${where}: amounts that are none are refused`, async () => {
    const id = await payment();
    const tooSmall = "Invalid request: Value for field 'amount' too small, expected at least: '0'";
    for (const [amount, message] of [
      [0, tooSmall],
      [-1, tooSmall],
      ["10", "Invalid request: Expected type: 'number' for field 'amount', got: '10'"],
      [null, "Invalid request: Expected type: 'number' for field 'amount', got: 'null'"],
    ]) {
      await assert.rejects(refunds.refund(id, { amount }), fetchError(400, message));
    }

    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(read.refunds, []);
  });

  test(`v2 ${where}: an unknown member of the body is refused`, async () => {
    const id = await payment();
    await assert.rejects(
      refunds.refund(id, { amount: 1, reason: "other" }),
      fetchError(400, "Invalid request: Unrecognized fields: 'reason'"),
    );
  });

  test(`v2 ${where}: a key that does not exist is unauthorized`, async () => {
    const id = await payment();
    const stranger = new Medusa({ baseUrl: url, apiKey: `sk_${"0".repeat(64)}` });
    await assert.rejects(
      stranger.admin.payment.refund(id, { amount: 1 }),
      fetchError(401, "Unauthorized"),
    );
  });

  test(`v2 ${where}: no key at all is unauthorized`, async () => {
    const nobody = new Medusa({ baseUrl: url });
    await assert.rejects(nobody.admin.payment.retrieve(await payment()), fetchError(401, "Unauthorized"));
  });

  test(`v2 ${where}: a person logs in and refunds`, async () => {
    const id = await payment();
    const person = new Medusa({
      baseUrl: url,
      auth: { type: "jwt", jwtTokenStorageMethod: "memory" },
    });

    await person.auth.login("user", "emailpass", access.person);

    const answer = await person.admin.payment.refund(id, { amount: 5 });
    assert.deepEqual(amounts(answer.payment.refunds), [5]);
    await assert.rejects(
      person.auth.login("user", "emailpass", { ...access.person, password: "not the password" }),
      fetchError(401, "Invalid email or password"),
    );
  });

  test(`v2 ${where}: a refund that the payment provider declines is an error, and no row of it stays`, async () => {
    const id = await payment({ sandbox: ["decline:51"] });

    // Like any provider error that carries no Medusa error type of its own.
    await assert.rejects(
      refunds.refund(id, { amount: 10 }),
      fetchError(500, "An unknown error occurred."),
    );
    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(read.refunds, []);

    // The money is free again.
    const answer = await refunds.refund(id, {});
    assert.deepEqual(amounts(answer.payment.refunds), [100]);
  });

  test(`v2 ${where}: a refund whose outcome is unknown is shown, and its money stays reserved`, async () => {
    const id = await payment({ sandbox: ["lost:never"] });

    const answer = await refunds.refund(id, { amount: 60 });

    assert.deepEqual(amounts(answer.payment.refunds), [60]);
    await assert.rejects(
      refunds.refund(id, { amount: 60 }),
      fetchError(400, "You are not allowed to refund more than the captured amount"),
    );
  });

  test(`v2 ${where}: the same idempotency key gives the same refund, once`, async () => {
    const id = await payment();
    const key = { "idempotency-key": `v2-${id}` };

    const first = await refunds.refund(id, { amount: 10 }, {}, key);
    const again = await refunds.refund(id, { amount: 10 }, {}, key);
    assert.deepEqual(again, first);
    assert.deepEqual(amounts(again.payment.refunds), [10]);

    await assert.rejects(
      refunds.refund(id, { amount: 11 }, {}, key),
      (error) => error instanceof FetchError && error.status === 422,
    );
    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(amounts(read.refunds), [10]);
  });

  test(`v2 ${where}: of ten refunds at once, those that fit are made, and each of them is told so`, async () => {
    const id = await payment();

    const answers = await Promise.allSettled(
      Array.from({ length: 10 }, () => refunds.refund(id, { amount: 30 })),
    );

    const made = answers.filter(({ status }) => status === "fulfilled");
    assert.equal(made.length, 3);
    const { payment: read } = await refunds.retrieve(id);
    assert.deepEqual(amounts(read.refunds), [30, 30, 30]);
  });
}
