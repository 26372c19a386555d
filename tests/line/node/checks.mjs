// Runs a script's checks in turn and prints one JSON line for each: {"check": name} and, when it failed, "error".

import assert from "node:assert/strict";

export { assert };
export const [url, key] = process.argv.slice(2);
export const HELLO = [{ role: "user", content: "Hello" }];

export async function run(checks) {
  for (const [check, body] of Object.entries(checks)) {
    const line = { check };
    try {
      await body();
    } catch (error) {
      line.error = error?.stack ?? String(error);
    }
    console.log(JSON.stringify(line));
  }
}

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
