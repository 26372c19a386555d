// The official OpenAI client for JavaScript: node openai.mjs URL KEY

import OpenAI, { toFile } from "openai";
import { HELLO, all, assert, key, run, url } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

function chat(model, more = {}) {
  return client.chat.completions.create({ model, messages: HELLO, ...more });
}

await run({
  async chat() {
    const answer = await chat("sim-n8");
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.ok(answer.usage.completion_tokens > 0);
  },

  async chat_stream() {
    const whole = await chat("sim-n12");
    const chunks = await all(await chat("sim-n12", { stream: true }));
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  },

  async chat_stream_with_usage() {
    const asked = { stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await chat("sim-n12", asked));
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  },

  async tools() {
    const answer = await chat("sim-tool2", { tools: [WEATHER] });
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ["get_weather", "get_weather"]);
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
  },

  async tools_stream() {
    const asked = { model: "sim-tool", messages: HELLO, tools: [WEATHER] };
    const final = await client.chat.completions.stream(asked).finalChatCompletion();
    const [call] = final.choices[0].message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    JSON.parse(call.function.arguments);
  },

  async completions_stream() {
    const asked = { model: "sim-n4", prompt: "Once" };
    const whole = await client.completions.create(asked);
    const chunks = await all(await client.completions.create({ ...asked, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), whole.choices[0].text);
  },

  async responses() {
    const answer = await client.responses.create({ model: "sim-n8", input: "Hello" });
    assert.ok(answer.output_text);
    assert.equal(answer.status, "completed");
    assert.equal((await client.responses.retrieve(answer.id)).id, answer.id);
  },

  async responses_stream() {
    const asked = { model: "sim-n8", input: "Hello", stream: true };
    const events = await all(await client.responses.create(asked));
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    assert.ok(deltas.length > 1);
    assert.equal(
      deltas.map((event) => event.delta).join(""),
      events.at(-1).response.output[0].content[0].text,
    );
  },

  async embeddings() {
    const asked = { model: "sim", input: ["a", "b"] };
    // Unless told otherwise, the client asks for base64 and decodes it.
    const packed = await client.embeddings.create(asked);
    const plain = await client.embeddings.create({ ...asked, encoding_format: "float" });
    assert.equal(packed.data.length, 2);
    for (const [index, { embedding }] of packed.data.entries()) {
      assert.ok(embedding.length > 0);
      assert.equal(embedding.length, plain.data[index].embedding.length);
    }
  },

  async images() {
    const png = Buffer.from("\x89PNG\r\n\x1a\n-not-really", "latin1");
    const image = await toFile(png, "boat.png", { type: "image/png" });
    const made = await client.images.generate({ model: "sim", prompt: "A boat" });
    const edited = await client.images.edit({ model: "sim", prompt: "Blue", image });
    for (const answer of [made, edited]) {
      const bytes = Buffer.from(answer.data[0].b64_json, "base64");
      assert.equal(bytes.subarray(1, 4).toString(), "PNG");
    }
  },

  async errors() {
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
    const asked = { model: "sim", messages: HELLO };
    await assert.rejects(stranger.chat.completions.create(asked), OpenAI.AuthenticationError);
    await assert.rejects(chat("unknown"), OpenAI.NotFoundError);
    await assert.rejects(chat("sim-400"), OpenAI.BadRequestError);
  },

  async chat_cut() {
    const stream = await chat("sim-n20-d1-chunk_fin", { stream: true });
    await assert.rejects(all(stream), OpenAI.APIError);
  },

  async responses_cut() {
    const asked = { model: "sim-n20-d1-chunk_fin", input: "Hello", stream: true };
    await assert.rejects(all(await client.responses.create(asked)), OpenAI.APIError);
  },
});
