// The official Anthropic client for JavaScript: node anthropic.mjs URL KEY

import Anthropic from "@anthropic-ai/sdk";
import { HELLO, all, assert, key, run, url } from "./checks.mjs";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const WEATHER = { name: "get_weather", input_schema: { type: "object", properties: {} } };

function asked(model, more = {}) {
  return { model, max_tokens: 64, messages: HELLO, ...more };
}

await run({
  async messages() {
    const answer = await client.messages.create(asked("sim-n8"));
    assert.ok(answer.content[0].text);
    assert.equal(answer.stop_reason, "end_turn");
    assert.ok(answer.usage.output_tokens > 0);
  },

  async bearer() {
    const other = new Anthropic({ baseURL: url, apiKey: null, authToken: key, maxRetries: 0 });
    assert.ok((await other.messages.create(asked("sim-n8"))).content[0].text);
  },

  async final_message() {
    const pieces = [];
    const stream = client.messages.stream(asked("sim-n8")).on("text", (text) => pieces.push(text));
    const final = await stream.finalMessage();
    assert.ok(pieces.length > 1);
    assert.equal(pieces.join(""), final.content[0].text);
    assert.equal(final.stop_reason, "end_turn");
    assert.ok(final.usage.output_tokens > 0);
  },

  async raw_events() {
    const events = await all(await client.messages.create(asked("sim-n8", { stream: true })));
    assert.equal(events[0].type, "message_start");
    assert.equal(events.at(-1).type, "message_stop");
  },

  async tools() {
    const answer = await client.messages.create(asked("sim-tool2", { tools: [WEATHER] }));
    const calls = answer.content.filter((block) => block.type === "tool_use");
    assert.deepEqual(calls.map((call) => call.name), ["get_weather", "get_weather"]);
    assert.equal(answer.stop_reason, "tool_use");
  },

  async tools_stream() {
    const final = await client.messages
      .stream(asked("sim-tool2", { tools: [WEATHER] }))
      .finalMessage();
    const calls = final.content.filter((block) => block.type === "tool_use");
    assert.equal(calls.length, 2);
    for (const call of calls) assert.equal(typeof call.input, "object");
  },

  async thinking() {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const stream = client.messages.stream(asked("sim-n8", { max_tokens: 2048, thinking }));
    const [block] = (await stream.finalMessage()).content;
    assert.equal(block.type, "thinking");
    assert.ok(block.signature);
  },

  async count_tokens() {
    const answer = await client.messages.countTokens({ model: "sim", messages: HELLO });
    assert.ok(answer.input_tokens > 0);
  },

  async errors() {
    const stranger = new Anthropic({ baseURL: url, apiKey: "sk-wrong", maxRetries: 0 });
    await assert.rejects(stranger.messages.create(asked("sim")), (error) => {
      assert.ok(error instanceof Anthropic.AuthenticationError);
      assert.equal(error.error.error.type, "authentication_error");
      return true;
    });
    await assert.rejects(client.messages.create(asked("unknown")), Anthropic.NotFoundError);
  },

  async cut() {
    const stream = client.messages.stream(asked("sim-n20-d1-chunk_fin"));
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
  },

  async cut_raw_events() {
    const stream = await client.messages.create(asked("sim-n20-d1-nodone", { stream: true }));
    await assert.rejects(all(stream), Anthropic.APIError);
  },
});
