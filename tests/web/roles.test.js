/** Gateway, supervisor and customer: what only these clients do. The router is played by hand. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  CustomerClient,
  DesktopClient,
  GatewayClient,
  InvalidInput,
  NotConnected,
  OutcomeUnknown,
  PermanentlyClosed,
  RouterRefused,
  SupervisorClient,
} from "../../src/router/web/sdk/index.js";
import { FakeRouter, opened, WELCOME } from "./fake_router.js";

const GATEWAY = { role: "gateway", agent: null };

/** @param {Record<string, unknown>} [changes] */
function agentView(changes) {
  return { ...WELCOME.agent, ...changes };
}

test("a submit carries a key of its own, and its loss names the key", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient(router.options);
  const side = await opened(client, router, GATEWAY);
  const submitted = client.submit({ channel: "voice", queue_id: "support" });
  const { id, idempotency_key, ...frame } = await side.receive();
  assert.deepEqual(frame, { type: "submit", contact: { channel: "voice", queue_id: "support" } });
  assert.match(idempotency_key, /^[0-9a-f]{32}$/);
  side.close(1006);
  await assert.rejects(submitted, (error) => error instanceof OutcomeUnknown && error.idempotencyKey === idempotency_key);
  await client.close();
});

test("a submit is repeated with the same key until it is acknowledged", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient(router.options);
  const first = await opened(client, router, GATEWAY);
  const submitted = client.submit({ channel: "voice" }, { retryUntilAcknowledged: true });
  const { idempotency_key } = await first.receive();
  first.close(1006);
  const second = await router.connection();
  await second.welcome(GATEWAY);
  const again = await second.receive();
  assert.equal(again.idempotency_key, idempotency_key);
  second.send({ type: "error", id: again.id, code: "journal_unavailable", title: "t", temporary: true, retry_after_ms: 5 });
  const third = await second.receive();
  assert.equal(third.idempotency_key, idempotency_key);
  second.send({ type: "ok", id: third.id, seq: 11, subject: "c1" });
  assert.equal((await submitted).subject, "c1");
  await client.close();
});

test("a submit that is repeated ends with a first connection that has failed for good", async () => {
  const fetch = async () => {
    throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ENOTFOUND" } });
  };
  const client = new GatewayClient({ ...new FakeRouter().options, fetch });
  // A repetition without a pause would keep the process busy for ever: after some it throws another error.
  let sent = 0;
  const own = /** @type {any} */ (client);
  const command = own.command.bind(client);
  own.command = (/** @type {any[]} */ ...rest) => (++sent > 50 ? Promise.reject(new Error("for ever")) : command(...rest));
  const waiting = client.submit({ channel: "voice" }, { retryUntilAcknowledged: true });
  const failed = assert.rejects(waiting, NotConnected);
  await assert.rejects(client.open(), NotConnected);
  await failed;
  await assert.rejects(client.submit({ channel: "voice" }, { retryUntilAcknowledged: true }), NotConnected);
});

test("a full queue is thrown, also to a submit that is repeated", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient(router.options);
  const side = await opened(client, router, GATEWAY);
  const submitted = client.submit({ channel: "voice" }, { retryUntilAcknowledged: true, idempotencyKey: "mine" });
  const { id, idempotency_key } = await side.receive();
  assert.equal(idempotency_key, "mine");
  side.send({ type: "error", id, code: "queue_full", title: "The queue is full", temporary: true });
  await assert.rejects(submitted, (error) => error instanceof RouterRefused && error.code === "queue_full");
  await assert.rejects(client.submit(/** @type {any} */ (null)), InvalidInput);
  await assert.rejects(client.submit(/** @type {any} */ ({})), InvalidInput);
  await client.close();
});

test("a closed client ends a submit that is repeated", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient(router.options);
  const side = await opened(client, router, GATEWAY);
  const submitted = client.submit({ channel: "voice" }, { retryUntilAcknowledged: true });
  await side.receive();
  side.close(4503);
  await assert.rejects(submitted, PermanentlyClosed);
});

test("the pages of a long welcome are loaded together", async () => {
  const router = new FakeRouter();
  const client = new GatewayClient(router.options);
  const contact = { state: "queued", channel: "voice", queue_id: "q", requirement: "", priority_s: 0, priority_class: 0 };
  const first = await opened(client, router, { ...GATEWAY, contacts: [{ ...contact, contact_id: "c0" }] });
  const before = client.state;
  assert.deepEqual([...before.contacts.keys()], ["c0"]);
  first.close(1006);
  const second = await router.connection();
  await second.receive();
  second.send({ ...WELCOME, ...GATEWAY, state_page_count: 2, seq: 50, contacts: [{ ...contact, contact_id: "c1" }] });
  second.send({ type: "state_page", contacts: [{ ...contact, contact_id: "c2" }] });
  assert.equal(client.state, before);
  assert.equal(client.isConnected, false);
  second.send({ type: "state_page", contacts: [{ ...contact, contact_id: "c3" }] });
  assert.deepEqual([...client.state.contacts.keys()], ["c1", "c2", "c3"]);
  assert.equal(client.contact("c2")?.channel, "voice");
  assert.equal(client.position.seq, 50);
  assert.equal(client.isConnected, true);
  await client.close();
});

test("a supervisor keeps agents, queues and watched statistics", async () => {
  const router = new FakeRouter();
  const client = new SupervisorClient({ ...router.options, deliverEvents: false });
  const queue = { queue_id: "support", is_open: true, waiting: 3 };
  const side = await opened(client, router, { role: "supervisor", agent: null, agents: [agentView()], stats: { queues: [queue] } });
  side.send({ type: "stats", seq: 11, at_ms: 0, queues: [{ ...queue, waiting: 4 }] });
  assert.equal(client.state.queues.get("support")?.waiting, 4);
  const watched = client.watchStatistics("queue");
  const { id, ...frame } = await side.receive();
  assert.deepEqual(frame, { type: "watch_statistics", by: "queue", period: "today" });
  side.send({ type: "ok", id });
  await watched;
  const rows = { type: "statistics", by: "queue", period: "today", seq: 11, at_ms: 0 };
  side.send({ ...rows, whole: true, rows: [{ queue_id: "support", answered: 1 }, { queue_id: "sales", answered: 2 }] });
  side.send({ ...rows, whole: false, rows: [{ queue_id: "sales", answered: 3 }] });
  assert.deepEqual(client.statistics("queue").map((row) => [row.queue_id, row.answered]), [["support", 1], ["sales", 3]]);
  side.send({ ...rows, whole: true, rows: [{ queue_id: "sales", answered: 5 }] });
  assert.equal(client.statistics("queue").length, 1);
  side.send({ type: "event", seq: 12, at_ms: 7, event: { type: "agent.updated", agent_id: "bob", skills: { english: 3 } } });
  assert.deepEqual(client.agent("bob")?.skills, { english: 3 });
  assert.equal(client.agent("bob")?.state_since_ms, 7);
  const snapshot = client.state;
  assert.equal(client.state, snapshot);
  side.send({ type: "event", seq: 13, at_ms: 8, event: { type: "agent.removed", agent_id: "bob" } });
  assert.equal(snapshot.agents.has("bob"), true);
  assert.equal(client.state.agents.has("bob"), false);
  await client.close();
});

/** Each dimension, with the field that names its subject. */
const SUBJECTS = Object.entries({
  queue: "queue_id",
  channel: "channel",
  agent: "agent_id",
  team: "team",
  disposition: "disposition",
  goal: "goal",
});

test("each subject has a row of its own, whatever the dimension", async () => {
  const router = new FakeRouter();
  const client = new SupervisorClient({ ...router.options, deliverEvents: false });
  const side = await opened(client, router, { role: "supervisor", agent: null, agents: [] });
  for (const [by, field] of SUBJECTS) {
    const frame = { type: "statistics", by, period: "today", seq: 11, at_ms: 0 };
    side.send({ ...frame, whole: true, rows: [{ [field]: "a", answered: 1 }, { [field]: "b", answered: 2 }] });
    side.send({ ...frame, whole: false, rows: [{ [field]: "b", answered: 3 }] });
    const rows = client.statistics(/** @type {any} */ (by));
    assert.deepEqual(rows.map((/** @type {any} */ row) => [row[field], row.answered]), [["a", 1], ["b", 3]], by);
  }
  await client.close();
});

test("after a new connection there are no statistics until they are watched again", async () => {
  const router = new FakeRouter();
  const client = new SupervisorClient({ ...router.options, deliverEvents: false });
  const first = await opened(client, router, { role: "supervisor", agent: null, agents: [agentView()] });
  const view = { type: "statistics", by: "queue", period: "today" };
  const rows = { ...view, seq: 11, at_ms: 0, rows: [{ queue_id: "support", answered: 1 }] };
  first.send({ ...rows, whole: true });
  const before = client.state;
  assert.equal(before.statistics.size, 1);
  first.close(1006);
  const second = await router.connection();
  await second.receive();
  second.send({ ...WELCOME, type: "resumed", role: "supervisor", until_seq: 10 });
  assert.deepEqual(client.statistics("queue"), []);
  assert.equal(client.state.statistics.size, 0);
  assert.equal(before.statistics.size, 1);
  assert.equal(client.agent("ada")?.state, "ready");
  second.send({ ...rows, whole: true });
  assert.equal(client.statistics("queue").length, 1);
  await client.close();
});

test("a card comes with an offer or by itself, changes in parts, and goes with the contact", async () => {
  const router = new FakeRouter();
  const client = new DesktopClient({ ...router.options, deliverEvents: false });
  const side = await opened(client, router);
  /** @type {string[]} */
  const told = [];
  client.on("card", ({ contact_id, card }) => told.push(`${contact_id} ${card.version}`));
  const ids = { offer_id: "c.1", contact_id: "c", agent_id: "ada" };
  const offer = { type: "offer.made", ...ids, channel: "voice", queue_id: "q", deadline_ms: 5 };
  side.send({ type: "event", seq: 11, at_ms: 0, event: offer, card: { version: 1, status: "late", notes: [{ text: "a" }] } });
  assert.equal(client.state.cards.get("c")?.version, 1);
  assert.deepEqual(told, []);
  side.send({ type: "card", contact_id: "c", card: { version: 2, status: "complete", notes: [{ text: "a" }], agents: ["bob"] } });
  side.send({ type: "card_changed", contact_id: "c", version: 3, status: "complete", parts: ["notes"] });
  assert.deepEqual({ ...client.state.cards.get("c") }, { version: 3, status: "complete", agents: ["bob"] });
  side.send({ type: "card_changed", contact_id: "other", version: 3, status: "complete", parts: ["notes"] });
  assert.deepEqual(told, ["c 2", "c 3"]);
  side.send({ type: "event", seq: 12, at_ms: 0, event: { ...offer, type: "offer.expired" } });
  assert.equal(client.state.cards.size, 0);
  await client.close();
});

test("a customer sees the newest state of the request, until it has ended", async () => {
  const router = new FakeRouter();
  const client = new CustomerClient(router.options);
  const opening = client.open();
  const side = await router.connection();
  assert.equal(side.socket.url, "ws://router.test/v1/customer");
  assert.deepEqual(await side.receive(), { type: "hello", token: "t" });
  /** @param {string} state */
  const show = (state, changes = {}) => {
    side.send({ type: "state", request: { request_id: "r", channel: "voice", state, ...changes } });
  };
  show("choosing");
  await opening;
  assert.equal(client.request?.state, "choosing");
  const states = client.states();
  assert.equal((await states.next()).value?.state, "choosing");
  show("waiting", { position: 3 });
  show("waiting", { position: 2 });
  assert.equal((await states.next()).value?.position, 2);
  const chosen = client.choose("callback", { window: { start_at_ms: 1, end_at_ms: 2 } });
  const { id, ...frame } = await side.receive();
  assert.deepEqual(frame, { type: "choose", option: "callback", window: { start_at_ms: 1, end_at_ms: 2 } });
  side.send({ type: "ok", id });
  await chosen;
  const next = states.next();
  show("ended", { outcome: "served" });
  assert.equal((await next).value?.outcome, "served");
  assert.equal((await states.next()).done, true);
  await client.close();
});

test("the states of a customer end with the client, and tell why the router has closed", async () => {
  const router = new FakeRouter();
  for (const isClosedHere of [true, false]) {
    const client = new CustomerClient(router.options);
    const opening = client.open();
    const side = await router.connection();
    await side.receive();
    side.send({ type: "state", request: { request_id: "r", channel: "voice", state: "waiting" } });
    await opening;
    const states = client.states();
    await states.next();
    const next = states.next();
    if (isClosedHere) {
      await client.close();
      assert.equal((await next).done, true);
    } else {
      side.close(4501, "the token is not valid");
      await assert.rejects(next, (error) => error instanceof PermanentlyClosed && error.code === 4501);
    }
  }
});

/** @typedef {[name: string, (it: any) => Promise<{seq?: number}>, frame: object]} Call */

/** @type {Record<string, Call[]>} */
const CALLS = {
  DesktopClient: [
    ["set_state", (it) => it.notReady("lunch", { afterWork: true }), { state: "not_ready", reason: "lunch", after_work: true }],
    ["decline", (it) => it.decline("o", "busy"), { offer_id: "o", reason: "busy" }],
    [
      "transfer",
      (it) => it.transferToAgent("c", "bob", { waitS: 5, ifMatch: "*" }),
      { contact_id: "c", to_agent_id: "bob", wait_s: 5, if_match: "*" },
    ],
    ["complete", (it) => it.complete("a"), { assignment_id: "a", disposition: null }],
    ["hand_over", (it) => it.handOver("c", "bob"), { contact_id: "c", to_agent_id: "bob" }],
    ["report_goal", (it) => it.reportGoal("c", { goal: "card" }), { contact_id: "c", goal: "card" }],
    ["extend_wrap_up", (it) => it.extendWrapUp("a", 30), { assignment_id: "a", extend_s: 30 }],
  ],
  GatewayClient: [
    [
      "update",
      (it) => it.update("c", { priority_s: null, skills: { english: 3 } }),
      { contact_id: "c", priority_s: null, skills: { english: 3 } },
    ],
    ["callback", (it) => it.callback("c", { atMs: 5 }), { contact_id: "c", at_ms: 5 }],
    ["callback_claim", (it) => it.claimCallback("c", "pod-1", { attempt: 2 }), { contact_id: "c", claimant: "pod-1", attempt: 2 }],
    ["report_goal", (it) => it.reportGoal("c", { outcome: null, ease: 7 }), { contact_id: "c", outcome: null, ease: 7 }],
    ["abandon", (it) => it.abandon("c"), { contact_id: "c" }],
  ],
  SupervisorClient: [
    ["end", (it) => it.end("c"), { contact_id: "c", reason: "supervisor" }],
    ["requeue", (it) => it.requeue("c"), { contact_id: "c", queue_id: null }],
    ["set_agent_channels", (it) => it.pauseChannels("ada", ["voice"]), { agent_id: "ada", paused: ["voice"] }],
  ],
};

for (const kind of [DesktopClient, GatewayClient, SupervisorClient]) {
  test(`commands of ${kind.name} are frames of the protocol`, async () => {
    const router = new FakeRouter();
    const client = new kind(router.options);
    const side = await opened(client, router);
    for (const [type, call, expected] of CALLS[kind.name]) {
      const answer = call(client);
      const { id, ...frame } = await side.receive();
      assert.deepEqual(frame, { type, ...expected });
      side.send({ type: "ok", id, seq: 12 });
      assert.equal((await answer).seq, 12);
    }
    await client.close();
  });
}
