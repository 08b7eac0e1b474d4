// The module in a worker. It runs the calls that client.js sends, each of which starts when its
// message arrives, and replies with the results.

import init, * as rnn from "./index.js";
import * as module from "./wgpu_rnn_web.js";
import { CLASSES } from "./classes.js";

/** The objects that the client has handles of. */
const objects = new Map();
let count = 0;

/** The targets of calls that are no objects. */
const statics = { ...rnn, ...module, module: { init } };

/** Replaces an object by its handle. */
function encode(value) {
  const type = Object.keys(CLASSES).find((name) => value instanceof module[name]);
  if (type === undefined) return { value };
  const { facts = [] } = CLASSES[type];
  objects.set(++count, value);
  return {
    type,
    handle: count,
    facts: Object.fromEntries(facts.map((name) => [name, value[name]])),
    text: String(value),
  };
}

function decode({ handle, callback, value }) {
  if (handle !== undefined) return objects.get(handle);
  if (callback === undefined) return value;
  return (...values) => self.postMessage({ callback, values });
}

/** The buffers of a result. They belong to nobody here, so they move to the client. */
function buffers(value, found = []) {
  if (ArrayBuffer.isView(value)) found.push(value.buffer);
  else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) buffers(part, found);
  }
  return found;
}

async function run({ id, target, method, values }) {
  try {
    const object = typeof target === "number" ? objects.get(target) : statics[target];
    // The call starts before anything is awaited, so that calls keep their order.
    const called = values === undefined ? object[method] : object[method](...values.map(decode));
    const result = encode(await called);
    self.postMessage({ id, ...result }, buffers(result.value));
  } catch (error) {
    const { name, kind, message = String(error) } = error ?? {};
    self.postMessage({ id, error: { name, kind, message } });
  }
}

self.onmessage = ({ data }) => {
  if (data.free === undefined) return run(data);
  objects.get(data.free)?.free();
  objects.delete(data.free);
};
