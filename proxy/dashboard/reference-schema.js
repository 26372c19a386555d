// A JSON Schema as something to read: fields with their types and words, deeper ones when opened.
import { html } from "./lib.js";

const DEPTH = 6;

export function resolve(schema, content) {
  const name = /^#\/components\/schemas\/(.+)$/.exec(schema?.$ref || "");
  return name ? { ...content.components.schemas[name[1]], title: name[1] } : schema || {};
}

// One line: "string", "integer 1 to 1000", "one of …".
export function typeOf(given, content) {
  const schema = resolve(given, content);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${schema.enum.map((one) => JSON.stringify(one)).join(", ")}`;
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map((one) => typeOf(one, content)).filter((one, n, all) => all.indexOf(one) === n).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items || {}, content)}`;
  const range = [schema.minimum !== undefined && `from ${schema.minimum}`, schema.maximum !== undefined && `to ${schema.maximum}`].filter(Boolean).join(" ");
  const name = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || (schema.properties ? "object" : "anything");
  return [name, range, schema.format, schema.default !== undefined && `(${JSON.stringify(schema.default)})`].filter(Boolean).join(" ");
}

// Objects are what opens: the schema itself, the items of a list, or one of several.
function inner(given, content) {
  const schema = resolve(given, content);
  if (schema.properties) return schema;
  if (schema.items) return inner(schema.items, content);
  if (typeof schema.additionalProperties === "object") return inner(schema.additionalProperties, content);
  for (const one of schema.anyOf || schema.oneOf || schema.allOf || []) {
    const found = inner(one, content);
    if (found) return found;
  }
  return null;
}

export function schemaView(given, content, depth = 0) {
  const schema = inner(given, content);
  const own = resolve(given, content);
  if (!schema || depth > DEPTH) return html`<p class="small"><code>${typeOf(given, content)}</code> ${own.description || ""}</p>`;
  return html`<ul class="fields">${Object.entries(schema.properties).map(([name, field]) => {
    const deeper = inner(field, content);
    const head = html`<code>${name}</code> <span class="muted small">${typeOf(field, content)}${schema.required?.includes(name) ? " · required" : ""}</span>${field.description && html`<div class="small">${field.description}</div>`}`;
    return html`<li key=${name}>${deeper && depth < DEPTH ? html`<details><summary>${head}</summary>${schemaView(field, content, depth + 1)}</details>` : head}</li>`;
  })}</ul>`;
}

// A body to begin with: what is required, and nothing that would have to be guessed.
export function exampleOf(given, content, depth = 0) {
  const schema = resolve(given, content);
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf || schema.oneOf) return exampleOf((schema.anyOf || schema.oneOf)[0], content, depth);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (schema.properties) {
    const names = schema.required?.length ? schema.required : depth ? [] : Object.keys(schema.properties).slice(0, 3);
    return Object.fromEntries(names.filter((name) => schema.properties[name]).map((name) => [name, exampleOf(schema.properties[name], content, depth + 1)]));
  }
  return { string: "", integer: schema.minimum ?? 0, number: schema.minimum ?? 0, boolean: false, array: [], null: null }[type] ?? {};
}
