// The dialects of the API: where a request goes, what a form becomes in it, and what its answers say.
//
//   path(model, stream)      below the API's address
//   build(form)              the body: {model, system, prompt, temperature, maxTokens, stream, tools}
//   read(data, answer)       one event of a stream, or a whole answer, into {text, thought, tools, finish, input, output, failure}
//   tool                     a tool as this dialect writes it

const WEATHER = {
  name: "weather", description: "The weather in a town, now.",
  schema: { type: "object", properties: { town: { type: "string" } }, required: ["town"] },
};

export const blank = () => ({ text: "", thought: "", tools: [], finish: "", input: null, output: null, failure: "" });

// Of an object, what is said: no empty text, no missing number.
const said = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== ""));
const some = (list) => (Array.isArray(list) && list.length ? list : undefined);
const array = (value) => (Array.isArray(value) ? value : []);
const words = (value) => (typeof value === "string" ? value : "");
const at = (answer, key) => {
  let found = answer.tools.find((one) => one.key === key);
  if (!found) answer.tools.push(found = { key, name: "", input: "" });
  return found;
};
const counted = (answer, input, output) => {
  if (typeof input === "number") answer.input = input;
  if (typeof output === "number") answer.output = output;
};
const failed = (data, answer) => {
  const error = data.error;
  if (!error) return false;
  answer.failure = typeof error === "string" ? error : error.message || JSON.stringify(error);
  return true;
};

const chat = {
  words: "OpenAI Chat Completions",
  path: () => "/v1/chat/completions",
  build: (form) => said({
    model: form.model,
    messages: [...(form.system ? [{ role: "system", content: form.system }] : []), { role: "user", content: form.prompt }],
    temperature: form.temperature, max_completion_tokens: form.maxTokens, tools: some(form.tools),
    stream: form.stream || undefined, stream_options: form.stream ? { include_usage: true } : undefined,
  }),
  read(data, answer) {
    if (failed(data, answer)) return;
    for (const choice of array(data.choices)) {
      const part = choice.delta ?? choice.message ?? {};
      answer.text += words(part.content) + words(part.refusal);
      answer.thought += words(part.reasoning_content ?? part.reasoning);
      array(part.tool_calls).forEach((call, n) => {
        const tool = at(answer, call.index ?? n);
        tool.name += words(call.function?.name);
        tool.input += words(call.function?.arguments);
      });
      if (choice.finish_reason) answer.finish = choice.finish_reason;
    }
    counted(answer, data.usage?.prompt_tokens, data.usage?.completion_tokens);
  },
  tool: { type: "function", function: { name: WEATHER.name, description: WEATHER.description, parameters: WEATHER.schema } },
};

const responses = {
  words: "OpenAI Responses",
  path: () => "/v1/responses",
  build: (form) => said({
    model: form.model, instructions: form.system, input: form.prompt,
    temperature: form.temperature, max_output_tokens: form.maxTokens, tools: some(form.tools), stream: form.stream || undefined,
  }),
  read(data, answer) {
    if (failed(data, answer)) return;
    if (data.type === "error") { answer.failure = words(data.message) || "error"; return; }
    if (data.type === "response.output_text.delta" || data.type === "response.refusal.delta") answer.text += words(data.delta);
    else if (String(data.type).startsWith("response.reasoning") && String(data.type).endsWith(".delta")) answer.thought += words(data.delta);
    else if (data.type === "response.output_item.added" && data.item?.type === "function_call") at(answer, data.output_index).name = words(data.item.name);
    else if (data.type === "response.function_call_arguments.delta") at(answer, data.output_index).input += words(data.delta);
    const whole = data.object === "response" ? data : null;
    array(whole?.output).forEach((item, n) => {
      for (const part of array(item.content)) answer.text += words(part.text) + words(part.refusal);
      for (const part of array(item.summary)) answer.thought += words(part.text);
      if (item.type === "function_call") Object.assign(at(answer, n), { name: words(item.name), input: words(item.arguments) });
    });
    const ended = whole ?? (/^response\.(completed|incomplete|failed)$/.test(data.type) ? data.response : null);
    if (!ended) return;
    answer.finish = ended.incomplete_details?.reason || ended.status || "";
    if (ended.error) answer.failure = words(ended.error.message) || "failed";
    counted(answer, ended.usage?.input_tokens, ended.usage?.output_tokens);
  },
  tool: { type: "function", name: WEATHER.name, description: WEATHER.description, parameters: WEATHER.schema },
};

const messages = {
  words: "Anthropic Messages",
  path: () => "/v1/messages",
  build: (form) => said({
    model: form.model, max_tokens: form.maxTokens ?? 1024, system: form.system,
    messages: [{ role: "user", content: form.prompt }],
    temperature: form.temperature, tools: some(form.tools), stream: form.stream || undefined,
  }),
  read(data, answer) {
    if (failed(data, answer)) return;
    const block = (one, key) => {
      if (one.type === "text") answer.text += words(one.text);
      else if (one.type === "thinking") answer.thought += words(one.thinking);
      else if (one.type === "tool_use") at(answer, key).name = words(one.name);
    };
    if (data.type === "content_block_start") block(data.content_block ?? {}, data.index);
    else if (data.type === "content_block_delta") {
      const delta = data.delta ?? {};
      answer.text += words(delta.text);
      answer.thought += words(delta.thinking);
      if (delta.type === "input_json_delta") at(answer, data.index).input += words(delta.partial_json);
    } else if (data.type === "message") {
      array(data.content).forEach((one, n) => { block(one, n); if (one.type === "tool_use") at(answer, n).input = JSON.stringify(one.input); });
    }
    const usage = data.usage ?? data.message?.usage;
    counted(answer, usage?.input_tokens, usage?.output_tokens);
    answer.finish = data.delta?.stop_reason ?? data.stop_reason ?? answer.finish;
  },
  tool: { name: WEATHER.name, description: WEATHER.description, input_schema: WEATHER.schema },
};

const gemini = {
  words: "Gemini",
  path: (model, stream) => `/v1beta/models/${model.split("/").map(encodeURIComponent).join("/")}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
  build: (form) => {
    const settings = said({ temperature: form.temperature, maxOutputTokens: form.maxTokens });
    return said({
      systemInstruction: form.system ? { parts: [{ text: form.system }] } : undefined,
      contents: [{ role: "user", parts: [{ text: form.prompt }] }],
      generationConfig: Object.keys(settings).length ? settings : undefined,
      tools: some(form.tools),
    });
  },
  read(data, answer) {
    if (failed(data, answer)) return;
    for (const candidate of array(data.candidates)) {
      for (const part of array(candidate.content?.parts)) {
        if (part.thought) answer.thought += words(part.text); else answer.text += words(part.text);
        if (part.functionCall) answer.tools.push({ key: answer.tools.length, name: words(part.functionCall.name), input: JSON.stringify(part.functionCall.args ?? {}) });
      }
      if (candidate.finishReason) answer.finish = candidate.finishReason;
    }
    if (data.promptFeedback?.blockReason) answer.finish = data.promptFeedback.blockReason;
    const usage = data.usageMetadata;
    counted(answer, usage?.promptTokenCount, usage && (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0));
  },
  tool: { functionDeclarations: [{ name: WEATHER.name, description: WEATHER.description, parameters: WEATHER.schema }] },
};

const embeddings = {
  words: "OpenAI Embeddings",
  path: () => "/v1/embeddings",
  whole: true,
  build: (form) => said({ model: form.model, input: form.prompt }),
  read(data, answer) {
    if (failed(data, answer)) return;
    answer.text = array(data.data).map((one, n) => {
      const vector = one.embedding;
      if (!Array.isArray(vector)) return `Vector ${n + 1}: ${words(vector).slice(0, 80)}…`;
      return `Vector ${n + 1}, ${vector.length} numbers:\n${vector.slice(0, 8).map((value) => Number(value).toFixed(6)).join("  ")}${vector.length > 8 ? "  …" : ""}`;
    }).join("\n\n");
    counted(answer, data.usage?.prompt_tokens, undefined);
  },
};

export const DIALECTS = { chat, responses, messages, gemini, embeddings };
