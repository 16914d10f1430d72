// The chat of the Vercel AI SDK on a conversation: a turn, resuming, an approval, a tool of the application.
import assert from "node:assert/strict";
import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { conversation, prompts, wait } from "./server.mjs";

class State {
  messages = [];
  status = "ready";
  error = undefined;
  pushMessage = (message) => this.messages.push(message);
  popMessage = () => this.messages.pop();
  replaceMessage = (index, message) => (this.messages[index] = message);
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(api, more = {}) {
    const transport = new DefaultChatTransport({ api });
    super({ state: new State(), transport, ...more });
  }
}

const text = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");

{
  const api = await conversation();
  const chat = new Chat(`${api}/vercel-ai`);
  await chat.sendMessage({ text: prompts.tools });
  const [asked, answer] = chat.messages;
  assert.equal(chat.error, undefined);
  assert.equal(asked.role, "user");
  assert.equal(answer.role, "assistant");
  const tool = answer.parts.find((part) => part.type === "dynamic-tool");
  assert.equal(tool.toolName, "calculator");
  assert.equal(tool.state, "output-available");
  assert.match(text(answer), /Demo model/);
  assert.ok(answer.metadata.runId);
  await chat.resumeStream();
  assert.equal(chat.messages.length, 2);
}

{
  const api = await conversation({ targets: [{ name: "crm", url: "https://example.com/hook", approval: "ask" }] });
  const chat = new Chat(`${api}/vercel-ai`, {
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  await chat.sendMessage({ text: prompts.approval });
  const asked = chat.lastMessage.parts.find((part) => part.state === "approval-requested");
  assert.ok(asked, JSON.stringify(chat.lastMessage));
  await chat.addToolApprovalResponse({ id: asked.approval.id, approved: false, reason: "Not now." });
  await wait(() => chat.status === "ready" && text(chat.lastMessage) !== "");
  const denied = chat.lastMessage.parts.find((part) => part.toolCallId === asked.toolCallId);
  assert.ok(["output-denied", "output-error"].includes(denied.state), denied.state);
}

{
  const chat = new Chat("/nowhere/vercel-ai".replace("/nowhere", (await conversation()).replace(/[^/]+$/, "0199f0c2-a1b2-7d6c-8f2b-6d0f4f1f0a11")));
  await chat.sendMessage({ text: "Hello" });
  assert.match(chat.error.message, /conversation_not_found/);
}
console.log("vercel: ok");
