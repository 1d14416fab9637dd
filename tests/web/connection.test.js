/** The connection: what is sent, resumed, refused and given up. The router is played by hand. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { DesktopClient, GatewayClient, InvalidInput, NotConnected, OutcomeUnknown } from "../../src/router/web/sdk/index.js";
import { PermanentlyClosed, RouterRefused } from "../../src/router/web/sdk/index.js";
import { FakeRouter, heldEvent, opened, WELCOME } from "./fake_router.js";

/** @param {DesktopClient} client */
function frames(client) {
  return client[Symbol.asyncIterator]();
}

test("a socket is opened with a ticket, and hello comes first", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const opening = client.open();
  const side = await router.connection();
  assert.equal(side.socket.url, "ws://router.test/v1/desktop");
  assert.deepEqual(side.protocols, ["router.v1+json", "ticket.secret"]);
  assert.deepEqual(await side.welcome(), { type: "hello" });
  await opening;
  assert.deepEqual(router.tokens, ["Bearer t"]);
  assert.equal(client.state.agent_id, "ada");
  assert.equal(client.status, "live");
  await client.close();
  assert.equal(client.status, "closed");
});

test("with the login hello the token is in the first frame", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, login: "hello" });
  const opening = client.open();
  const side = await router.connection();
  assert.deepEqual(await side.welcome(), { type: "hello", token: "t" });
  await opening;
  assert.deepEqual(router.tokens, []);
  assert.deepEqual(side.protocols, ["router.v1+json"]);
  await client.close();
});

test("a reconnect resumes after the last received event and drops duplicates", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const first = await opened(client, router);
  first.send(heldEvent(11));
  first.send(heldEvent(11));
  first.close(1006);
  const second = await router.connection();
  assert.deepEqual(await second.receive(), { type: "hello", resume: "g:11" });
  second.send({ ...WELCOME, type: "resumed", until_seq: 12 });
  second.send(heldEvent(11));
  second.send(heldEvent(12));
  const read = frames(client);
  assert.deepEqual([(await read.next()).value, (await read.next()).value].map((one) => /** @type {any} */ (one).seq), [11, 12]);
  assert.equal(client.connectionCount, 2);
  await client.close();
  assert.equal((await read.next()).done, true);
});

test("a welcome after a reconnect is delivered to the reader, and the first one is not", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const first = await opened(client, router);
  first.close(4410);
  const second = await router.connection();
  await second.welcome({ history_id: "h", seq: 3 });
  const { value } = await frames(client).next();
  assert.equal(/** @type {any} */ (value).history_id, "h");
  assert.deepEqual(client.position, { historyId: "h", seq: 3 });
  await client.close();
});

for (const code of [1002, 1003, 1007, 1009, 4500, 4501, 4503, 4509, 4999]) {
  test(`the client does not reconnect after ${code}`, async () => {
    const router = new FakeRouter();
    const client = new DesktopClient(router.options);
    const side = await opened(client, router);
    const read = frames(client);
    side.close(code, "why");
    await assert.rejects(read.next(), (error) => error instanceof PermanentlyClosed && error.code === code);
    await assert.rejects(client.ready(), PermanentlyClosed);
    assert.equal(client.status, "closed");
  });
}

for (const code of [1001, 1006, 1011, 1012, 1013, 4401, 4408, 4410, 4429, 4499]) {
  test(`the client reconnects after ${code}`, async () => {
    const router = new FakeRouter();
    const client = new DesktopClient({ ...router.options, token: () => "fresh" });
    (await opened(client, router)).close(code);
    await (await router.connection()).welcome();
    await client.close();
  });
}

test("an expired token that cannot be renewed ends the client", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  (await opened(client, router)).close(4401);
  await assert.rejects(frames(client).next(), (error) => error instanceof PermanentlyClosed && error.code === 4401);
});

for (const status of [400, 401, 403, 404, 405, 426]) {
  test(`a ticket refused with ${status} is not asked for again`, async () => {
    const router = new FakeRouter();
    router.refusals = [{ status }];
    await assert.rejects(new DesktopClient(router.options).open(), (error) => {
      return error instanceof PermanentlyClosed && error.code === status && error.message.includes("some_code");
    });
    assert.equal(router.tokens.length, 1);
  });
}

test("a token of a provider is fetched once more after a refusal", async () => {
  const router = new FakeRouter();
  router.refusals = [{ status: 401 }];
  let number = 0;
  const client = new DesktopClient({ ...router.options, token: async () => `token-${++number}` });
  await opened(client, router);
  assert.deepEqual(router.tokens, ["Bearer token-1", "Bearer token-2"]);
  await client.close();
  router.refusals = [{ status: 401 }, { status: 401 }];
  const again = new DesktopClient({ ...router.options, token: () => "old" });
  await assert.rejects(again.open(), (error) => error instanceof PermanentlyClosed && error.code === 401);
});

test("a token function that fails is called again, before the first connection and after it", async () => {
  const router = new FakeRouter();
  const answers = ["fail", "token-1", "fail", "fail", "token-2"];
  const token = async () => {
    const answer = answers.shift();
    if (answer === "fail" || answer === undefined) throw new TypeError("Failed to fetch");
    return answer;
  };
  const client = new DesktopClient({ ...router.options, token });
  const first = await opened(client, router);
  first.close(1006);
  const second = await router.connection();
  assert.deepEqual(await second.receive(), { type: "hello", resume: "g:10" });
  second.send({ ...WELCOME, type: "resumed", until_seq: 10 });
  assert.equal(client.status, "live");
  assert.deepEqual(router.tokens, ["Bearer token-1", "Bearer token-2"]);
  assert.deepEqual(answers, []);
  await client.close();
});

test("a token function that always fails is named when the time is over", async () => {
  const token = () => Promise.reject(new Error("no login"));
  const client = new DesktopClient({ ...new FakeRouter().options, token, connectTimeoutMs: 30 });
  await assert.rejects(client.open(), (error) => {
    assert.ok(error instanceof NotConnected);
    assert.match(error.message, /the token function failed: no login/);
    return /** @type {any} */ (error.cause).cause.message === "no login";
  });
});

test("a token function ends the client by PermanentlyClosed, or by what is no text", async () => {
  const loggedOut = () => Promise.reject(new PermanentlyClosed(401, "logged out"));
  const client = new DesktopClient({ ...new FakeRouter().options, token: loggedOut });
  await assert.rejects(client.open(), (error) => error instanceof PermanentlyClosed && error.code === 401);
  const nothing = new DesktopClient({ ...new FakeRouter().options, token: /** @type {any} */ (() => undefined) });
  await assert.rejects(nothing.open(), (error) => error instanceof PermanentlyClosed && error.message.includes("a text"));
});

test("the client comes again after a busy router, not before the time that it asked for", async () => {
  const router = new FakeRouter();
  router.refusals = [{ status: 503, headers: { "Retry-After": "0.05" } }];
  const client = new DesktopClient(router.options);
  const began = performance.now();
  await opened(client, router);
  assert.ok(performance.now() - began >= 49);
  await client.close();
});

test("sockets that are refused with good tickets are explained", async () => {
  const router = new FakeRouter();
  router.refusedSockets = 1_000_000;
  const client = new DesktopClient({ ...router.options, connectTimeoutMs: 100 });
  await assert.rejects(client.open(), (error) => error instanceof NotConnected && error.message.includes("allowed_origins"));
});

test("a socket that is refused with a good ticket is tried with hello, whose close code says why", async () => {
  const router = new FakeRouter();
  router.refusedSockets = 1;
  const client = new DesktopClient(router.options);
  const opening = client.open();
  const side = await router.connection();
  assert.deepEqual(side.protocols, ["router.v1+json"]);
  assert.deepEqual(await side.receive(), { type: "hello", token: "t" });
  side.close(4503, "the role may not use this endpoint");
  await assert.rejects(opening, (error) => error instanceof PermanentlyClosed && error.code === 4503);
  assert.equal(router.tokens.length, 1);
});

test("after the next good connection tickets are used again", async () => {
  const router = new FakeRouter();
  router.refusedSockets = 1;
  const client = new DesktopClient(router.options);
  (await opened(client, router)).close(1006);
  const second = await router.connection();
  assert.deepEqual(second.protocols, ["router.v1+json", "ticket.secret"]);
  assert.deepEqual(await second.receive(), { type: "hello", resume: "g:10" });
  await client.close();
});

test("a full buffer gives the connection up and is filled again when half of it has been read", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, eventBufferMax: 4 });
  const side = await opened(client, router);
  for (let seq = 11; seq <= 16; seq++) side.send(heldEvent(seq));
  assert.equal(side.socket.wasClosed, true);
  assert.equal(client.position.seq, 14);
  const read = frames(client);
  assert.equal(/** @type {any} */ ((await read.next()).value).seq, 11);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(router.tokens.length, 1);
  assert.equal(/** @type {any} */ ((await read.next()).value).seq, 12);
  const second = await router.connection();
  assert.deepEqual(await second.receive(), { type: "hello", resume: "g:14" });
  await client.close();
});

test("a welcome is delivered also to a full buffer", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, eventBufferMax: 2 });
  const side = await opened(client, router);
  for (const seq of [11, 12]) side.send(heldEvent(seq));
  side.close(4410);
  await (await router.connection()).welcome({ history_id: "h", seq: 3 });
  const read = frames(client);
  const types = [await read.next(), await read.next(), await read.next()].map(({ value }) => /** @type {any} */ (value).type);
  assert.deepEqual(types, ["event", "event", "welcome"]);
  await client.close();
});

test("a sign of life advances the position", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const side = await opened(client, router);
  side.send({ type: "pong", id: "none", at_ms: 0, seq: 20 });
  side.send({ type: "pong", id: "none", at_ms: 0 });
  assert.equal(client.position.seq, 20);
  await client.close();
});

test("without a reader nothing is buffered", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, eventBufferMax: 2, deliverEvents: false });
  const side = await opened(client, router);
  for (let seq = 11; seq <= 16; seq++) side.send(heldEvent(seq));
  assert.equal(client.position.seq, 16);
  await client.close();
});

test("unknown frames, fields and events are ignored, and count in the position", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const side = await opened(client, router);
  side.send({ type: "weather", sun: true });
  side.send({ type: "event", seq: 11, at_ms: 0, event: { type: "agent.has_flown" } });
  side.send({ type: "event", seq: 12, at_ms: 0, event: { type: "toString" } });
  side.send({ ...heldEvent(13), colour: "red" });
  const { value } = await frames(client).next();
  assert.equal(/** @type {any} */ (value).seq, 13);
  await client.close();
});

for (const data of ["null", "{", "7", '"text"']) {
  test(`what is no frame ends the client: ${data}`, async () => {
    const router = new FakeRouter();
    const client = new DesktopClient(router.options);
    const side = await opened(client, router);
    side.send(data);
    await assert.rejects(frames(client).next(), (error) => error instanceof PermanentlyClosed && error.code === 1011);
  });
}

test("a refusal has all fields of its frame", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const side = await opened(client, router);
  const answer = client.accept("o.1");
  const { id, ...command } = await side.receive();
  assert.deepEqual(command, { type: "accept", offer_id: "o.1" });
  side.send({ type: "error", id, code: "offer_not_pending", title: "The offer has ended", detail: "expired", temporary: true });
  await assert.rejects(answer, (error) => {
    assert.ok(error instanceof RouterRefused);
    assert.equal(error.message, "offer_not_pending: The offer has ended (expired)");
    assert.equal(error.code, "offer_not_pending");
    return error.temporary;
  });
  await client.close();
});

test("a lost answer leaves the outcome unknown and names the key", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const side = await opened(client, router);
  const accepted = client.accept("o.1", { idempotencyKey: "k-1" });
  assert.equal((await side.receive()).idempotency_key, "k-1");
  side.close(1006);
  await assert.rejects(accepted, (error) => error instanceof OutcomeUnknown && error.idempotencyKey === "k-1");
  const second = await router.connection();
  await second.welcome();
  await assert.rejects(client.hold("a.1"), (error) => error instanceof OutcomeUnknown && error.idempotencyKey === null);
  await client.close();
});

test("a command without a connection fails after the time limit, and was not sent", async () => {
  const router = new FakeRouter();
  const longest = { backoffBaseMs: 100_000, backoffMaxMs: 100_000, random: () => 1 };
  const client = new DesktopClient({ ...router.options, connectTimeoutMs: 60, ...longest });
  const side = await opened(client, router);
  side.close(1006);
  await assert.rejects(client.ready(), NotConnected);
  const waiting = client.ready();
  client.nudge();
  const second = await router.connection();
  await second.welcome();
  const { id } = await second.receive();
  second.send({ type: "ok", id, seq: 12 });
  assert.equal((await waiting).seq, 12);
  await client.close();
});

test("commands of a closed client fail at once, and it can be closed again", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  await opened(client, router);
  await client.close();
  await client.close();
  await assert.rejects(client.ready(), (error) => error instanceof PermanentlyClosed && error.code === 1000);
  await assert.rejects(client.open(), PermanentlyClosed);
});

test("a signal closes the client, also while its token is awaited", async () => {
  const stop = new AbortController();
  const token = () => new Promise(() => undefined);
  const client = new DesktopClient({ ...new FakeRouter().options, token: /** @type {any} */ (token), signal: stop.signal });
  const opening = client.open();
  stop.abort();
  await assert.rejects(opening, (error) => error instanceof PermanentlyClosed && error.code === 1000);
});

test("a token of a provider is refreshed on the running connection", async () => {
  const router = new FakeRouter();
  const claims = Buffer.from(JSON.stringify({ iat: 1_000, exp: 1_001 })).toString("base64url");
  const client = new DesktopClient({ ...router.options, token: () => `head.${claims}.tail` });
  const side = await opened(client, router);
  const frame = await side.receive();
  assert.equal(frame.type, "refresh");
  assert.equal(frame.token, `head.${claims}.tail`);
  await client.close();
});

test("a refresh whose token function fails is tried again on the same connection", async () => {
  const router = new FakeRouter();
  const claims = Buffer.from(JSON.stringify({ iat: 1_000, exp: 1_001 })).toString("base64url");
  let calls = 0;
  const token = () => {
    calls += 1;
    if (calls === 2 || calls === 3) throw new TypeError("Failed to fetch");
    return `head.${claims}.tail-${calls}`;
  };
  const client = new DesktopClient({ ...router.options, token });
  const side = await opened(client, router);
  const frame = await side.receive();
  assert.deepEqual([frame.type, frame.token], ["refresh", `head.${claims}.tail-4`]);
  assert.equal(client.connectionCount, 1);
  assert.equal(client.status, "live");
  await client.close();
});

test("a command that cannot be encoded throws at once, and nothing waits for its answer", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient({ ...router.options, commandTimeoutMs: 1 });
  const side = await opened(client, router, { role: "gateway", agent: null });
  /** @type {unknown[]} */
  const unhandled = [];
  /** @param {unknown} error */
  const onUnhandled = (error) => unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  await assert.rejects(client.submit({ channel: "chat", attributes: { n: /** @type {any} */ (1n) } }), TypeError);
  side.socket.send = () => {
    throw new Error("not sent");
  };
  await assert.rejects(client.submit({ channel: "chat" }), /not sent/);
  // An answer that were waited for would be given up now, and one more after the connection.
  await new Promise((resolve) => setTimeout(resolve, 5));
  await client.close();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", onUnhandled);
  assert.deepEqual(unhandled, []);
});

test("listeners hear events by type once they are part of the state; one that throws disturbs nothing", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient(router.options);
  const side = await opened(client, router);
  /** @type {unknown[]} */
  const heard = [];
  const stop = new AbortController();
  const { signal } = stop;
  client.on("agent.state_changed", (event, frame) => heard.push(event.state, frame?.seq, client.state.state), { signal });
  client.on("agent.state_changed", () => {
    throw new Error("of the application");
  });
  /** @type {(() => void)[]} */
  const reported = [];
  const microtasks = mock.method(globalThis, "queueMicrotask", (/** @type {() => void} */ report) => reported.push(report));
  const event = { type: "agent.state_changed", agent_id: "ada", state: "not_ready", from_state: "ready" };
  side.send({ type: "event", seq: 11, at_ms: 5, event });
  assert.deepEqual(heard, ["not_ready", 11, "not_ready"]);
  microtasks.mock.restore();
  assert.equal(reported.length, 1);
  assert.throws(reported[0], /of the application/);
  stop.abort();
  side.send({ type: "event", seq: 12, at_ms: 6, event: { ...event, type: "agent.desktop_connected" } });
  assert.equal(heard.length, 3);
  assert.equal(client.status, "live");
  await client.close();
});

test("snapshots stay the same object until something changes, and subscribers are told once for many events", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, deliverEvents: false });
  const side = await opened(client, router);
  let told = 0;
  const { subscribe, getSnapshot } = client;
  const end = subscribe(() => (told += 1));
  side.send({ type: "card_changed", contact_id: "other", version: 2, status: "complete", parts: [] });
  await new Promise((go) => setTimeout(go, 20));
  told = 0; // The first notice is of the welcome.
  const before = getSnapshot();
  assert.equal(getSnapshot(), before);
  side.send({ type: "card_changed", contact_id: "other", version: 3, status: "complete", parts: [] });
  await new Promise((go) => setTimeout(go, 20));
  for (let seq = 11; seq <= 30; seq++) {
    const event = { type: "agent.channels_set", agent_id: "ada", paused: [`c${seq}`] };
    side.send({ type: "event", seq, at_ms: 0, event });
  }
  assert.equal(told, 0);
  await new Promise((go) => setImmediate(go));
  assert.equal(told, 1);
  assert.notEqual(getSnapshot(), before);
  assert.deepEqual(before.paused, []);
  assert.deepEqual(getSnapshot().paused, ["c30"]);
  end();
  await client.close();
});

for (const [name, value] of Object.entries({
  baseUrl: "ws://router.test",
  token: "",
  login: "header",
  connectTimeoutMs: 0,
  commandTimeoutMs: "5",
  eventBufferMax: 1,
  backoffMaxMs: -1,
  WebSocket: null,
})) {
  test(`an option that cannot be right is refused by name: ${name}`, () => {
    const options = /** @type {any} */ ({ ...new FakeRouter().options, [name]: value });
    assert.throws(() => new DesktopClient(options), (error) => error instanceof InvalidInput && error.field === name);
  });
}

const NO_ADDRESSES = ["http://ada:secret@a.test", "http://a.test/?a=1", "http://a.test/#a", "a.test", "ftp://a.test"];
for (const url of NO_ADDRESSES) {
  test(`an address that cannot be right is refused: ${url}`, () => {
    const options = { ...new FakeRouter().options, baseUrl: url };
    assert.throws(() => new DesktopClient(options), (error) => error instanceof InvalidInput && !error.message.includes("secret"));
  });
}

test("a command without an id is refused before it is sent", async () => {
  const client = new DesktopClient(new FakeRouter().options);
  /** @param {string} field */
  const names = (field) => (/** @type {unknown} */ error) => error instanceof InvalidInput && error.field === field;
  await assert.rejects(client.accept(/** @type {any} */ (undefined)), names("offer_id"));
  await assert.rejects(client.transferToAgent("c", ""), names("to_agent_id"));
});
