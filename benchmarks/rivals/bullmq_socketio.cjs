// Rival: BullMQ for the waiting contacts, Socket.IO for the agents, both in one Node process.
//
//     node bullmq_socketio.cjs REDIS_PORT AGENTS       prints its port as one line of JSON
//
// One BullMQ queue for each skill; the concurrency of its worker is the number of agents with the skill. A job waits for the longest
// idle agent with its skill, emits the offer, and completes when it is accepted; otherwise the job fails and BullMQ repeats it.
// Free agents are kept in memory: it is the cheapest, and agents report their state again when they reconnect.
//
// What it does not do: there is no record of decisions, only the jobs are in Redis, on disk up to a second later (appendfsync everysec);
// conversations and agents' states are lost with the process; a repeated contact goes to the end of its queue; contacts of two
// skills are not served in the order of their arrival; a second process for a second core would need the free agents in Redis; no
// priorities, levels, relaxation, plans, capacity, wrap-up, duplicate submits, authentication, resume of a lost connection,
// audit or reports.

const { createServer } = require("node:http");
const { randomUUID } = require("node:crypto");
const { Queue, Worker } = require("bullmq");
const { Server } = require("socket.io");

const OFFER_TIMEOUT_MS = 60_000;
const SKILLS = Array.from({ length: 10 }, (_, n) => `s${n}`);
const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const concurrency = Math.max(1, Math.ceil((Number(process.argv[3]) * 2) / SKILLS.length));

const http = createServer();
const io = new Server(http, { perMessageDeflate: false, transports: ["websocket"] });
const queues = new Map();
const free = new Map(SKILLS.map((skill) => [skill, new Map()])); // Agents by skill; a Map keeps the order of insertion.
const wanted = new Map(SKILLS.map((skill) => [skill, []])); // Jobs that wait for an agent with the skill.
const pending = new Map(); // Functions to call when an offer is accepted.

function setFree(agent) {
  const waiting = agent.skills.map((skill) => wanted.get(skill)).filter((jobs) => jobs.length > 0);
  if (waiting.length > 0) {
    waiting.sort((a, b) => a[0].at - b[0].at)[0].shift().take(agent);
    return;
  }
  for (const skill of agent.skills) free.get(skill).set(agent.id, agent);
}

function notFree(agent) {
  for (const skill of agent.skills) free.get(skill).delete(agent.id);
}

function take(skill, at) {
  for (const agent of free.get(skill).values()) {
    notFree(agent);
    return Promise.resolve(agent);
  }
  return new Promise((take) => wanted.get(skill).push({ at, take }));
}

async function offer(job) {
  const { skill, contactId } = job.data;
  const agent = await take(skill, job.timestamp);
  const offerId = `${contactId}.${job.attemptsMade}`;
  const accepted = new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      pending.delete(offerId);
      agent.socket.emit("not_ready", { offer_id: offerId });
      reject(new Error("not accepted in time"));
    }, OFFER_TIMEOUT_MS);
    pending.set(offerId, () => {
      clearTimeout(timer);
      resolve();
    });
  });
  agent.socket.emit("offer", { offer_id: offerId, contact_id: contactId, skill });
  await accepted;
}

for (const skill of SKILLS) {
  queues.set(skill, new Queue(`contacts-${skill}`, {
    connection,
    defaultJobOptions: { attempts: 1000, removeOnComplete: 1000 },
  }));
  new Worker(`contacts-${skill}`, offer, { connection, concurrency }).on("error", () => {});
}

io.on("connection", (socket) => {
  const { agent: id, skills = [] } = socket.handshake.auth;
  const agent = { id, skills, socket };
  socket.on("submit", async ({ skill }, answer) => {
    const contactId = randomUUID();
    await queues.get(skill).add("contact", { skill, contactId });
    answer({ ok: true, contact_id: contactId });
  });
  socket.on("ready", (_, answer) => {
    setFree(agent);
    answer({ ok: true });
  });
  socket.on("accept", ({ offer_id }, answer) => {
    const accepted = pending.get(offer_id);
    pending.delete(offer_id);
    if (accepted) accepted();
    answer(accepted ? { ok: true } : { ok: false, error: "expired" });
  });
  socket.on("end", (_, answer) => {
    setFree(agent);
    answer({ ok: true });
  });
  socket.on("disconnect", () => notFree(agent));
});

http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: http.address().port })));
