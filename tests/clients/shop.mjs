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
  const { status, body } = await native("POST", "/payments", payment);
  if (status !== 201) {
    throw new Error(`registering ${JSON.stringify(payment)} answered ${status}: ${JSON.stringify(body)}`);
  }
  return body;
}

/** A request of the native API: status and body of its answer, which may have none. */
export async function native(method, path, body) {
  const response = await fetch(`${access.url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${access.native}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : undefined };
}

/**
 * Relays requests to another server. Where `isLost(request)`, the request arrives and is carried out, and
 * the connection breaks instead of its answer.
 */
export function relay({ host, port }, isLost) {
  return http.createServer((request, response) => {
    const lost = isLost(request);
    const onward = http.request(
      {
        host,
        port,
        method: request.method,
        path: request.url,
        headers: { ...request.headers, host: `${host}:${port}`, connection: "close" },
        agent: false,
      },
      (answer) => {
        if (lost) {
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
}

/** A way to the server that loses its first answer. Later requests pass. `sent` counts those that arrived. */
export async function losesFirstAnswer() {
  const { hostname: host, port } = new URL(access.url);
  const way = { sent: 0 };
  const server = relay({ host, port }, () => {
    way.sent += 1;
    return way.sent === 1;
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  way.url = `http://127.0.0.1:${server.address().port}`;
  way.close = () => {
    server.closeAllConnections();
    server.close();
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

/** Somebody who is told of events: `url`, and `heard`, each message with its headers. */
export async function receiver() {
  const heard = [];
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      heard.push({ headers: request.headers, payload: Buffer.concat(parts).toString("utf8") });
      response.writeHead(204).end();
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/hook`, heard, close };
}
