// The AG-UI client on a conversation: a turn with a tool, an interrupt and its answer, state.
import assert from "node:assert/strict";
import { HttpAgent } from "@ag-ui/client";
import { conversation, prompts } from "./server.mjs";

const agentOf = async (body) => new HttpAgent({ url: `${await conversation(body)}/ag-ui`, threadId: "thread-1" });
const say = (agent, content) => agent.addMessage({ id: crypto.randomUUID(), role: "user", content });

{
  const agent = await agentOf();
  const seen = [];
  say(agent, prompts.tools);
  await agent.runAgent({}, { onEvent: ({ event }) => void seen.push(event.type) });
  assert.equal(seen[0], "RUN_STARTED");
  assert.equal(seen.at(-1), "RUN_FINISHED");
  assert.ok(seen.filter((type) => type === "TEXT_MESSAGE_CONTENT").length > 2);
  const roles = agent.messages.map((message) => message.role);
  assert.ok(roles.includes("tool"), roles.join());
  assert.match(agent.messages.at(-1).content, /Demo model/);
}

{
  const agent = await agentOf({ targets: [{ name: "crm", url: "https://example.com/hook", approval: "ask" }] });
  say(agent, prompts.approval);
  const outcomes = [];
  const subscriber = { onRunFinishedEvent: ({ event }) => void outcomes.push(event.outcome) };
  await agent.runAgent({}, subscriber);
  assert.equal(outcomes[0].type, "interrupt");
  const [interrupt] = outcomes[0].interrupts;
  assert.equal(interrupt.reason, "tool_call");
  const payload = { approved: false, reason: "Not now." };
  await agent.runAgent({ resume: [{ interruptId: interrupt.id, status: "resolved", payload }] }, subscriber);
  assert.equal(outcomes[1].type, "success");
}

{
  const agent = await agentOf({ context_data: { page: "orders" } });
  say(agent, "Hello");
  await agent.runAgent();
  assert.deepEqual(agent.state, { page: "orders" });
}
console.log("ag-ui: ok");
