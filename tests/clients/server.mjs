// The server that the clients talk to: `SIXLANE_URL`, where the caller is its local owner.
const base = process.env.SIXLANE_URL;

export async function conversation(body = {}) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${base}/conversations`, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 201) throw new Error(await answer.text());
  return `${base}/conversations/${(await answer.json()).id}`;
}

// What the demo model uses a tool for.
export const prompts = {
  tools: "Please calculate 12 * 7 with the calculator",
  approval: 'Send an HTTP POST to the target crm with the data {"note": "called"}',
};

export async function wait(holds) {
  for (let tries = 0; !holds(); tries += 1) {
    if (tries > 1000) throw new Error("it did not come to that");
    await new Promise((done) => setTimeout(done, 10));
  }
}
