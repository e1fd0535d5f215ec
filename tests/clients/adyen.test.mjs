// Adyen's official library as an outside judge: what it asks for a refund is what we ask for, and what its
// validator signs is what we believe. Behind the server is a stand-in that keeps refunds by their keys.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { access, eventually, native, registered } from "./shop.mjs";

const { Client, CheckoutAPI, hmacValidator } = createRequire(import.meta.url)("@adyen/api-library");
const MERCHANT_ACCOUNT = "ShopECOM";
const API_KEY = "AQEnothingofvalue";
const HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/** What was asked for, oldest first, and what was made of it by key. */
const asked = [];
const made = new Map();
let loses = 0;

function standIn(request, response) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    asked.push({ method: request.method, path: request.url, headers: request.headers, body });
    const key = request.headers["idempotency-key"];
    if (!made.has(key)) {
      made.set(key, {
        merchantAccount: body.merchantAccount,
        paymentPspReference: request.url.split("/")[3],
        pspReference: `REFUND${String(made.size).padStart(10, "0")}`,
        reference: body.reference,
        status: "received",
        amount: body.amount,
      });
    }
    if (loses > 0) {
      loses -= 1;
      request.socket.destroy();
      return;
    }
    response.writeHead(201, { "content-type": "application/json" });
    response.end(JSON.stringify(made.get(key)));
  });
}

async function listening(server) {
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  after(() => server.close());
  return server.address().port;
}

// The library speaks TLS only; the server here is told to speak without.
const folder = mkdtempSync(join(tmpdir(), "requite-adyen-"));
after(() => rmSync(folder, { recursive: true }));
const [keyFile, certFile] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
const openssl = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"];
execFileSync("openssl", [...openssl, "-keyout", keyFile, "-out", certFile], { stdio: "ignore" });
const pair = { key: readFileSync(keyFile), cert: readFileSync(certFile) };
const plain = await listening(http.createServer(standIn));
const secure = await listening(https.createServer(pair, standIn));

const client = new Client({ apiKey: API_KEY, environment: "TEST" });
client.httpClient.agentOptions = { rejectUnauthorized: false };
const modifications = new CheckoutAPI(client).ModificationsApi;
modifications.baseUrl = `https://127.0.0.1:${secure}/v71`;

const words = ["connector", "add", "--merchant", access.slug, "--kind", "adyen", "--name", "adyen", "--json"];
words.push("--base-url", `http://127.0.0.1:${plain}/v71`, "--database", access.database);
const secret = JSON.stringify({
  merchant_account: MERCHANT_ACCOUNT,
  api_key: API_KEY,
  hmac_key: HMAC_KEY,
});
const account = JSON.parse(execFileSync(access.requite, words, { input: secret }));

/** A refund of a payment at Adyen through the native API. */
async function refunded(pspReference, fields) {
  const payment = await registered({
    currency: "EUR",
    connector: "adyen",
    connector_payment: pspReference,
  });
  const refund = await native("POST", `/payments/${payment.id}/refunds`, fields);
  assert.equal(refund.status, 201, JSON.stringify(refund.body));
  return refund.body;
}

test("adyen: a refund is asked for as the official library asks for it", async () => {
  const refund = await refunded("WNS7WQ756L2GWR82", { amount: 4000, reason: "customer_request" });
  assert.equal(refund.status, "pending");
  const ours = asked.pop();
  const key = ours.headers["idempotency-key"];
  const received = await modifications.refundCapturedPayment(
    "WNS7WQ756L2GWR82",
    {
      merchantAccount: MERCHANT_ACCOUNT,
      amount: { value: 4000, currency: "EUR" },
      reference: key,
      merchantRefundReason: "CUSTOMER REQUEST",
    },
    { idempotencyKey: key },
  );
  const theirs = asked.pop();
  assert.deepEqual([ours.method, ours.path], [theirs.method, theirs.path]);
  assert.deepEqual(ours.body, theirs.body);
  for (const name of ["x-api-key", "idempotency-key", "content-type"]) {
    assert.equal(ours.headers[name], theirs.headers[name], name);
  }
  // And the library reads of that answer what was read here.
  assert.equal(received.pspReference, refund.psp_refund_id);
  assert.equal(received.status, "received");
});

test("adyen: a lost answer is asked for again with the same key and bytes, and is one refund", async () => {
  const before = made.size;
  asked.length = 0;
  loses = 2;
  const refund = await refunded("KHQC5N7G84BLNK43", { amount: 10000 });
  assert.equal(refund.status, "unknown");
  const ask = async () => (await native("GET", `/refunds/${refund.id}`)).body;
  const settled = await eventually(ask, (shown) => shown.status === "pending");
  assert.equal(settled.status, "pending", JSON.stringify(settled));
  assert.equal(made.size, before + 1);
  assert.equal(asked.length, 3);
  for (const again of asked) assert.deepEqual(again, asked[0]);
});

const validator = new hmacValidator();

/** A notice as Adyen sends it, signed by its own library. */
function notice(refund, pspReference, fields = {}) {
  const item = {
    pspReference: refund.psp_refund_id,
    originalReference: pspReference,
    merchantAccountCode: MERCHANT_ACCOUNT,
    merchantReference: `requite-${refund.id}`,
    amount: { currency: "EUR", value: refund.amount },
    eventCode: "REFUND",
    eventDate: "2026-11-22T05:10:00+01:00",
    paymentMethod: "visa",
    reason: "",
    success: "true",
    ...fields,
  };
  item.additionalData = { hmacSignature: validator.calculateHmac(item, HMAC_KEY) };
  return item;
}

async function tell(...items) {
  const notificationItems = items.map((item) => ({ NotificationRequestItem: item }));
  const response = await fetch(`${access.url}/hooks/${account.id}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ live: "false", notificationItems }),
  });
  return `${response.status} ${response.status === 200 ? await response.text() : "refused"}`;
}

test("adyen: what the official library signs is believed, and what its validator refuses is not", async () => {
  const refund = await refunded("QWERTZ1234567890", { amount: 2500 });
  const good = notice(refund, "QWERTZ1234567890");
  const changes = [
    { pspReference: "OTHER" },
    { originalReference: "OTHER" },
    { merchantAccountCode: "OtherECOM" },
    { merchantReference: "grün:\\ü" },
    { amount: { currency: "USD", value: 2500 } },
    { amount: { currency: "EUR", value: 2501 } },
    { eventCode: "REFUND_FAILED" },
    { success: "false" },
  ];
  for (const change of changes) {
    const forged = { ...good, ...change };
    assert.equal(validator.validateHMAC(forged, HMAC_KEY), false, JSON.stringify(change));
    assert.equal(await tell(forged), "400 refused", JSON.stringify(change));
    assert.equal(await tell(good, forged), "400 refused", "all of them or none");
  }
  // What is not signed may be anything: the texts with it are only shown.
  const signed = notice(refund, "QWERTZ1234567890", { merchantReference: "grün:\\ü", reason: "x" });
  assert.equal(validator.validateHMAC(signed, HMAC_KEY), true);
  const ask = async () => (await native("GET", `/refunds/${refund.id}`)).body;
  assert.equal((await ask()).status, "pending", "nothing of all that was believed");
  // An account that was just added is known a moment later; Adyen too would send it again.
  const told = await eventually(() => tell(signed), (answer) => answer.startsWith("200"));
  assert.equal(told, "200 [accepted]");
  const settled = await eventually(ask, (shown) => shown.status !== "pending");
  assert.equal(settled.status, "succeeded");
});
