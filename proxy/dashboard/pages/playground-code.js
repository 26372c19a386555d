// The request as a program: curl, Python and Node with the vendors' own libraries, Go with what it brings. The key is in a variable.
import { html, useState } from "../lib.js";
import { Card, Choice, Copy, Text } from "../ui.js";
import { DIALECTS } from "./playground-dialects.js";

const VARIABLE = "HEADRACE_API_KEY";
const LANGUAGES = [["curl", "curl"], ["python", "Python"], ["node", "Node"], ["go", "Go"]];

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);
const script = (value) => JSON.stringify(value, null, 2);

// A value of JSON as Python writes it.
export function python(value, depth = 0) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Array.isArray(value) ? value.map((one) => python(one, depth + 1)) : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return open + close;
  const pad = "    ".repeat(depth + 1);
  return `${open}\n${entries.map((one) => `${pad}${one},\n`).join("")}${"    ".repeat(depth)}${close}`;
}

// {install, text} of a program. `call` is what the library's client is asked, {body, stream}.
const OPENAI = {
  python: (call, address, method, show) => ({ install: "pip install openai", text: `import os

from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${address}/v1`)}, api_key=os.environ["${VARIABLE}"])
answer = client.${method}.create(**${python(call.body)})
${call.stream ? `for event in answer:\n    ${show.python[0]}` : show.python[1]}
` }),
  node: (call, address, method, show) => ({ install: "npm install openai", text: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(`${address}/v1`)}, apiKey: process.env.${VARIABLE} });
const answer = await client.${method}.create(${script(call.body)});
${call.stream ? `for await (const event of answer) ${show.node[0]}` : show.node[1]}
` }),
};
const LIBRARIES = {
  chat: ["chat.completions", {
    python: ['if event.choices:\n        print(event.choices[0].delta.content or "", end="", flush=True)', "print(answer.choices[0].message.content)"],
    node: ['process.stdout.write(event.choices[0]?.delta?.content ?? "");', "console.log(answer.choices[0].message.content);"],
  }],
  responses: ["responses", {
    python: ['if event.type == "response.output_text.delta":\n        print(event.delta, end="", flush=True)', "print(answer.output_text)"],
    node: ['if (event.type === "response.output_text.delta") process.stdout.write(event.delta);', "console.log(answer.output_text);"],
  }],
  embeddings: ["embeddings", {
    python: ["", "print(len(answer.data[0].embedding))"],
    node: ["", "console.log(answer.data[0].embedding.length);"],
  }],
};
const MESSAGES = {
  python: (call, address) => ({ install: "pip install anthropic", text: `import os

from anthropic import Anthropic

client = Anthropic(base_url=${JSON.stringify(address)}, api_key=os.environ["${VARIABLE}"])
answer = client.messages.create(**${python(call.body)})
${call.stream ? `for event in answer:
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        print(event.delta.text, end="", flush=True)` : `print("".join(block.text for block in answer.content if block.type == "text"))`}
` }),
  node: (call, address) => ({ install: "npm install @anthropic-ai/sdk", text: `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: ${JSON.stringify(address)}, apiKey: process.env.${VARIABLE} });
const answer = await client.messages.create(${script(call.body)});
${call.stream ? `for await (const event of answer) {
  if (event.type === "content_block_delta" && event.delta.type === "text_delta") process.stdout.write(event.delta.text);
}` : `for (const block of answer.content) if (block.type === "text") console.log(block.text);`}
` }),
};
const GEMINI = {
  python: (call, address) => ({ install: "pip install google-genai", text: `import os

from google import genai

client = genai.Client(api_key=os.environ["${VARIABLE}"], http_options={"base_url": ${JSON.stringify(address)}})
${call.stream ? "answer = client.models.generate_content_stream" : "answer = client.models.generate_content"}(**${python(google(call))})
${call.stream ? `for event in answer:\n    print(event.text or "", end="", flush=True)` : "print(answer.text)"}
` }),
  node: (call, address) => ({ install: "npm install @google/genai", text: `import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({ apiKey: process.env.${VARIABLE}, httpOptions: { baseUrl: ${JSON.stringify(address)} } });
const answer = await client.models.${call.stream ? "generateContentStream" : "generateContent"}(${script(google(call))});
${call.stream ? `for await (const event of answer) process.stdout.write(event.text ?? "");` : "console.log(answer.text);"}
` }),
};
// Google's libraries take the settings beside the contents.
function google({ model, body }) {
  const { contents, generationConfig, ...rest } = body;
  const config = { ...generationConfig, ...rest };
  return { model, contents, ...(Object.keys(config).length ? { config } : {}) };
}

const go = (call, url) => ({ install: "", text: `package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
)

const body = ${call.text.includes("`") ? JSON.stringify(call.text) : `\`${call.text}\``}

func main() {
	request, err := http.NewRequest("POST", ${JSON.stringify(url)}, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("${VARIABLE}"))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
}
` });

// The program that sends `text` (a body) to the API at `address`, in one of LANGUAGES.
export function program(language, { dialect, model, text, stream, address }) {
  const url = address + DIALECTS[dialect].path(model, stream);
  let body;
  try { body = JSON.parse(text); } catch { body = null; }
  const call = { model, body, text, stream: dialect === "gemini" ? stream : Boolean(body?.stream) };
  if (language === "curl" || body === null || typeof body !== "object" || Array.isArray(body)) {
    return { install: "", text: `curl ${call.stream ? "-N " : ""}${shell(url)} \\\n  -H "Authorization: Bearer $${VARIABLE}" \\\n  -H 'Content-Type: application/json' \\\n  -d ${shell(text)}\n` };
  }
  if (language === "go") return go(call, url);
  if (dialect === "messages") return MESSAGES[language](call, address);
  if (dialect === "gemini") return GEMINI[language](call, address);
  return OPENAI[language](call, address, ...LIBRARIES[dialect]);
}

export function Code({ request, address, onAddress }) {
  const [language, choose] = useState("curl");
  const made = program(language, { ...request, address: address.replace(/\/+$/, "") });
  return html`<${Card} title="As a program" actions=${html`<${Choice} label="Language" value=${language} options=${LANGUAGES} onInput=${choose} />`}>
    <div class="stack snug">
      <${Text} label="Address of the API" value=${address} onInput=${onAddress} hint="As your applications reach it." spellcheck=${false} />
      <p class="muted small-print">The key is read from <code>${VARIABLE}</code>: <code>export ${VARIABLE}=sk-…</code>${made.install && html` · <code>${made.install}</code>`}</p>
      <pre class="said" aria-label="Program" tabindex="0">${made.text}</pre>
      <div class="row end"><${Copy} text=${made.text} label="Copy the program" /></div>
    </div><//>`;
}
