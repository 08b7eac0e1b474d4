// The classes of the package for a page whose module runs in a worker. A handle stands for each
// object, and every call returns a promise.

import { CLASSES, DIAGNOSTICS } from "./classes.js";
import { adapters } from "./adapters.js";
import { RnnError } from "./error.js";
import { generate } from "./generate.js";
import { Sequential } from "./sequential.js";
import { isAddress } from "./side.js";

export { RnnError };

/**
 * Starts a worker, loads the module in it, and returns the classes.
 *
 * `worker` is one that the caller made of worker.js. `module` and `files` are the arguments of
 * `init`.
 */
export async function connect({ worker, module, files } = {}) {
  const connection = new Connection(
    worker ?? new Worker(new URL("./worker.js", import.meta.url), { type: "module" }),
  );
  try {
    // The worker has another base for relative addresses, and cannot receive a URL.
    const absolute = (source) =>
      isAddress(source) ? new URL(source, globalThis.location?.href).href : source;
    const all = Object.entries(files ?? {}).map(([name, source]) => [name, absolute(source)]);
    const values = [absolute(module), Object.fromEntries(all)];
    await connection.call("module", "init", values);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection.api();
}

/** The calls to one worker. */
class Connection {
  #worker;
  /** The calls that wait for a reply, by number. */
  #calls = new Map();
  #callbacks = new Map();
  #count = 0;
  /** The reason why the worker does not reply any more. */
  #lost;
  /** Frees the objects of handles that the page has dropped. */
  #dropped = new FinalizationRegistry((handle) => this.#post({ free: handle }));
  #types = {};

  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#lose(`the worker failed: ${event.message ?? "its script could not be loaded"}`);
    };
    worker.onmessageerror = () => this.#lose("a message of the worker could not be read");
    for (const [name, members] of Object.entries(CLASSES)) {
      this.#types[name] = remote(this, name, members);
    }
  }

  /** Runs a method in the worker; without `values`, reads a property. */
  call(target, method, values) {
    return new Promise((resolve, reject) => {
      if (this.#lost) throw this.#lost;
      const id = ++this.#count;
      const callbacks = [];
      const sent = values?.map((value) => {
        if (value instanceof Handle) return { handle: value.handle(this) };
        if (typeof value !== "function") return { value };
        callbacks.push([++this.#count, value]);
        return { callback: this.#count };
      });
      // Copies the values. Those that cannot be copied reject this call alone.
      this.#post({ id, target, method, values: sent });
      this.#calls.set(id, { resolve, reject, callbacks });
      for (const [number, callback] of callbacks) this.#callbacks.set(number, callback);
    });
  }

  /** Frees an object in the worker. */
  free(object, handle) {
    this.#dropped.unregister(object);
    if (!this.#lost) this.#post({ free: handle });
  }

  close() {
    this.#worker.terminate();
    this.#lose("the worker was closed");
  }

  /** The classes, and what else the package exports. */
  api() {
    const connection = this;
    const { Generation, ...types } = this.#types;
    types.Sequential = class extends Sequential {
      load(device, weights, prefix, options) {
        const values = [device, weights, this.input, this.modules, prefix, options];
        return connection.call("Network", "load", values);
      }
    };
    types.LanguageModel.prototype.generate = function (prompt, options) {
      return generate((others) => this.start(prompt, others), options);
    };
    const judge =
      (method) =>
      (...values) =>
        this.call("diagnostics", method, values);
    const diagnostics = Object.fromEntries(DIAGNOSTICS.map((name) => [name, judge(name)]));
    const api = { ...types, diagnostics, RnnError, adapters, close: () => this.close() };
    if (Symbol.dispose) api[Symbol.dispose] = api.close;
    return api;
  }

  #post(message) {
    this.#worker.postMessage(message);
  }

  #receive({ id, callback, values, error, handle, type, value, ...described }) {
    // Calls have failed already. The worker may have replied before it failed.
    if (this.#lost) return;
    if (callback !== undefined) return this.#callbacks.get(callback)?.(...values);
    const { resolve, reject, callbacks } = this.#calls.get(id);
    this.#calls.delete(id);
    for (const [number] of callbacks) this.#callbacks.delete(number);
    if (error) return reject(revive(error));
    if (handle === undefined) return resolve(value);
    const object = new this.#types[type](handle, described);
    this.#dropped.register(object, handle, object);
    resolve(object);
  }

  #lose(reason) {
    this.#lost ??= new RnnError("WorkerLost", `${reason}; connect again`);
    for (const { reject } of this.#calls.values()) reject(this.#lost);
    this.#calls.clear();
    this.#callbacks.clear();
  }
}

/** An object in a worker. */
class Handle {
  #connection;
  #handle;
  #text;

  constructor(connection, handle, { facts, text }) {
    this.#connection = connection;
    this.#handle = handle;
    this.#text = text;
    Object.assign(this, facts);
  }

  /** The number of the object in the worker of `connection`. */
  handle(connection) {
    const type = this.constructor.name;
    if (this.#handle === undefined) throw new RnnError("Freed", `this ${type} was freed`);
    if (connection !== this.#connection) {
      throw new RnnError("Option", `this ${type} belongs to another worker`);
    }
    return this.#handle;
  }

  toString() {
    return this.#text;
  }

  /** Frees the object in the worker. Calls that have started finish. */
  free() {
    if (this.#handle === undefined) return;
    this.#connection.free(this, this.#handle);
    this.#handle = undefined;
  }

  static {
    if (Symbol.dispose) this.prototype[Symbol.dispose] = this.prototype.free;
  }
}

/** Makes the class of handles to objects of one type. */
function remote(connection, name, { statics = [], methods = [], live = [] }) {
  const type = class extends Handle {
    constructor(handle, described) {
      super(connection, handle, described);
    }
  };
  Object.defineProperty(type, "name", { value: name });
  for (const method of statics) {
    type[method] = (...values) => connection.call(name, method, values);
  }
  for (const method of methods) {
    type.prototype[method] = async function (...values) {
      return connection.call(this.handle(connection), method, values);
    };
  }
  for (const property of live) {
    Object.defineProperty(type.prototype, property, {
      get() {
        return connection.call(this.handle(connection), property);
      },
    });
  }
  return type;
}

/** Makes an error of its description. */
function revive({ name, kind, message }) {
  if (kind !== undefined) return new RnnError(kind, message);
  const error = new Error(message);
  if (name) error.name = name;
  return error;
}
