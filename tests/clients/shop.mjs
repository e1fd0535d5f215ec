// What the suites share: where the server is, the shop's credentials, and two ways to make trouble.
//
// `tests/clients/run` starts the server, makes the credentials and names the file that holds them in
// REQUITE_ACCESS. Every test registers its own payments, so no test sees another's money.

import { readFileSync } from "node:fs";
import http from "node:http";

/** `url` of the server; keys by face; the person who may log in. */
export const access = JSON.parse(readFileSync(process.env.REQUITE_ACCESS, "utf8"));

/** A face is served below its prefix and at the root: every test runs at both. */
export function mounts(prefix) {
  return [
    { where: "at the root", url: access.url },
    { where: `below ${prefix}`, url: access.url + prefix },
  ];
}

/**
 * Registers a payment of 10000 minor units, all of it captured unless `fields` say otherwise.
 * `sandbox` scripts what the payment provider answers to this payment's refunds.
 * Answers the registered payment; its `ids` spell its id for each face.
 */
export async function registered(fields = {}) {
  const amount = fields.amount ?? 10000;
  const payment = {
    amount,
    currency: "USD",
    captures: [{ amount }],
    connector: "sandbox",
    ...fields,
  };
  const response = await fetch(`${access.url}/api/payments`, {
    method: "POST",
    headers: { authorization: `Bearer ${access.native}`, "content-type": "application/json" },
    body: JSON.stringify(payment),
  });
  const text = await response.text();
  if (response.status !== 201) {
    throw new Error(`registering ${JSON.stringify(payment)} answered ${response.status}: ${text}`);
  }
  return JSON.parse(text);
}

/**
 * A way to the server that loses its first answer: the request arrives and is carried out, then the
 * connection breaks. Later requests pass. `sent` counts the requests that arrived.
 */
export async function losesFirstAnswer() {
  const server = new URL(access.url);
  const way = { sent: 0 };
  const relay = http.createServer((request, response) => {
    way.sent += 1;
    const isFirst = way.sent === 1;
    const onward = http.request(
      {
        host: server.hostname,
        port: server.port,
        method: request.method,
        path: request.url,
        headers: { ...request.headers, host: server.host, connection: "close" },
        agent: false,
      },
      (answer) => {
        if (isFirst) {
          answer.resume().on("end", () => request.socket.destroy());
        } else {
          response.writeHead(answer.statusCode, answer.headers);
          answer.pipe(response);
        }
      },
    );
    onward.on("error", () => request.socket.destroy());
    request.pipe(onward);
  });
  await new Promise((listening) => relay.listen(0, "127.0.0.1", listening));
  way.url = `http://127.0.0.1:${relay.address().port}`;
  way.close = () => {
    relay.closeAllConnections();
    relay.close();
  };
  return way;
}

/** Asks every 100 ms until `isDone(answer)`, for at most 30 seconds; then answers the last answer. */
export async function eventually(ask, isDone) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (isDone(answer) || Date.now() > deadline) return answer;
    await new Promise((elapsed) => setTimeout(elapsed, 100));
  }
}
