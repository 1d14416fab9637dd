/** Delays, tokens, heartbeat and clock, with a time that the test moves. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { FrameQueue } from "../../src/router/web/sdk/frame_queue.js";
import { Heartbeat, RouterClock } from "../../src/router/web/sdk/heartbeat.js";
import { Backoff, Gate, mayReconnect, refreshAfterMs } from "../../src/router/web/sdk/reconnect.js";

test("delays double up to the longest, with full jitter, after any delay that was asked for", () => {
  const longest = new Backoff(1_000, 30_000, () => 1);
  const delays = Array.from({ length: 7 }, () => longest.nextDelayMs());
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  assert.equal(longest.nextDelayMs(500), 30_500);
  longest.connectionLasted(4_999);
  assert.equal(longest.nextDelayMs(), 30_000);
  longest.connectionLasted(5_000);
  assert.equal(longest.nextDelayMs(), 1_000);
  assert.equal(new Backoff(1_000, 30_000, () => 0).nextDelayMs(700), 700);
});

test("a token is refreshed at four fifths of its life, by its own claims", () => {
  /** @param {object} claims */
  const token = (claims) => `head.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.tail`;
  assert.equal(refreshAfterMs(token({ iat: 1_000, exp: 1_101 })), 80_000);
  assert.equal(refreshAfterMs(token({ iat: 1_000, exp: 1_001 })), 500);
  for (const other of [token({ exp: 5 }), token({ iat: 5 }), token({ iat: "a", exp: "b" }), "opaque", "a.b.c", ""]) {
    assert.equal(refreshAfterMs(other), null);
  }
});

test("close codes say whether to come again", () => {
  assert.equal(mayReconnect(null, []), true);
  assert.equal(mayReconnect(4499, []), true);
  assert.equal(mayReconnect(4500, []), false);
  assert.equal(mayReconnect(1002, [1002]), false);
});

/** A heartbeat whose timers and clock the test moves; `lateMs` of a timer is how late it fires. */
function heartbeat() {
  const done = { pings: 0, lost: 0, nowMs: 0 };
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  const beat = new Heartbeat(20_000, {
    sendPing: () => (done.pings += 1),
    onLost: () => (done.lost += 1),
    now: () => done.nowMs,
  });
  /** @param {number} ms */
  const pass = (ms, lateMs = 0) => {
    done.nowMs += ms + lateMs;
    mock.timers.tick(ms);
  };
  beat.start();
  return { beat, done, pass };
}

test("a router that is heard lives, whatever frame it is", () => {
  const { beat, done, pass } = heartbeat();
  for (let round = 0; round < 5; round++) {
    beat.heard();
    pass(10_000);
    pass(10_000);
  }
  assert.deepEqual([done.pings, done.lost], [6, 0]);
});

test("a router that is silent for half an interval is given up", () => {
  const { done, pass } = heartbeat();
  pass(9_999);
  assert.equal(done.lost, 0);
  pass(1);
  assert.deepEqual([done.pings, done.lost], [1, 1]);
});

test("a verdict that comes late, as after sleep or in a hidden tab, is given once more", () => {
  const { beat, done, pass } = heartbeat();
  pass(10_000, 60_000);
  assert.deepEqual([done.pings, done.lost], [2, 0]);
  beat.heard();
  pass(10_000, 60_000);
  assert.equal(done.lost, 0);
  pass(10_000, 60_000);
  pass(10_000, 60_000);
  assert.equal(done.lost, 0);
  pass(10_000, 60_000);
  assert.equal(done.lost, 1);
});

test("a page that is seen again asks at once, and its verdict counts", () => {
  const { beat, done, pass } = heartbeat();
  beat.heard();
  pass(5_000);
  beat.beatNow();
  assert.equal(done.pings, 2);
  pass(10_000);
  assert.equal(done.lost, 1);
});

test("the clock follows the shortest round trip of a connection", () => {
  let mine = 1_000_000;
  const clock = new RouterClock(() => mine);
  clock.observe(100, 4_000_000);
  assert.equal(clock.now(), 4_000_050);
  clock.observe(400, 9_000_000);
  assert.equal(clock.now(), 4_000_050);
  mine += 500;
  clock.observe(20, 4_000_600);
  assert.equal(clock.now(), 4_000_610);
  clock.restart();
  clock.observe(400, 7_000_000);
  assert.equal(clock.now(), 7_000_200);
});

test("a gate lets everyone go on, or gives up after a time", async () => {
  mock.timers.reset();
  const gate = new Gate();
  assert.equal(await gate.wait(1), false);
  const both = Promise.all([gate.wait(), gate.wait(60_000)]);
  gate.open();
  assert.deepEqual(await both, [true, true]);
  assert.equal(await gate.wait(), true);
});

test("only one reader at a time, and another one after it", async () => {
  const queue = new FrameQueue(10);
  for (const seq of [1, 2]) queue.push(/** @type {any} */ ({ type: "event", seq }));
  const reader = queue.read();
  assert.equal(/** @type {any} */ ((await reader.next()).value).seq, 1);
  await assert.rejects(queue.read().next(), { name: "InvalidInput" });
  await reader.return();
  assert.equal(/** @type {any} */ ((await queue.read().next()).value).seq, 2);
});
