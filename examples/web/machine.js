// The two machines of the page: the GPU through WebGPU, and the CPU through WebAssembly. Each works
// in a Web Worker, so that the page never waits. `?direct` uses the library in the page itself.

import { sentence } from "./dom.js";

const query = new URLSearchParams(location.search);

/** Whether the page calls the library without a worker. */
export const direct = query.has("direct");

/** Whether the page shows the buttons of its tests. */
export const testing = query.has("test");

let module;

/** Loads the library: in a worker, or once in the page. */
async function load() {
  if (!direct) return (await import("wgpu-rnn/client.js")).connect();
  module ??= import("wgpu-rnn").then(async (library) => {
    await library.default();
    return library;
  });
  return module;
}

/** A device with its library. Sends the event "change" when its state changes. */
export class Machine extends EventTarget {
  /** `kind` is "gpu" or "cpu". */
  constructor(kind) {
    super();
    this.kind = kind;
    this.title = kind === "gpu" ? "WebGPU" : "CPU";
    this.state = "opening";
    this.message = "";
    this.adapter = null;
    this.device = null;
    this.models = new Map();
    /** Resolves when the device is open, or when it is known that it can't be. */
    this.settled = this.open();
  }

  get ready() { return this.state === "ready"; }

  #become(state, message = "") {
    this.state = state;
    this.message = message;
    this.dispatchEvent(new Event("change"));
  }

  /** Opens the device. After a loss, opens it again. Never rejects: `state` has the result. */
  async open() {
    for (const object of [...this.models.values(), this.device]) object?.free();
    this.models.clear();
    this.device = null;
    this.#become("opening");
    try {
      this.rnn ??= await load();
      if (this.kind === "gpu") {
        [this.adapter] = await this.rnn.adapters();
        if (!this.adapter) return this.#become("absent");
      }
      this.device = await this.rnn.Device.open(this.kind === "gpu" ? "webgpu" : "cpu");
      this.name = await this.device.name;
      this.#become("ready");
      this.#watch(this.device);
    } catch (error) {
      this.#become("failed", sentence(error));
    }
  }

  /** Shows a loss at once, not at the next call. */
  async #watch(device) {
    const { message } = await device.lost;
    if (device === this.device && this.ready) this.#become("lost", message);
  }

  /** Awaits work on the device. A lost device or worker changes the state; the error goes on. */
  async run(work) {
    try {
      return await work();
    } catch (error) {
      if (error?.kind === "WorkerLost") this.rnn = undefined;
      if (error?.kind === "DeviceLost" || error?.kind === "WorkerLost") {
        this.#become("lost", sentence(error));
      }
      throw error;
    }
  }

  /** The language model of a file, loaded once for each opening of the device. */
  languageModel(name, bytes) {
    return this.run(async () => {
      if (!this.models.has(name)) {
        const weights = await this.rnn.StateDict.parse(bytes, { name });
        this.models.set(name, await this.rnn.LanguageModel.load(this.device, weights));
        await weights.free();
      }
      return this.models.get(name);
    });
  }

  /** The machine in a few words: its name, and whether it is software. */
  about() {
    if (this.kind === "cpu") return "WebAssembly, one thread";
    const known = [this.adapter?.vendor, this.adapter?.architecture].filter(Boolean).join(" ");
    const name = [this.name, known].filter(Boolean)[0] ?? "an adapter without a name";
    return this.adapter?.software ? `${name}, a software adapter` : name;
  }
}

export const gpu = new Machine("gpu");
export const cpu = new Machine("cpu");
export const machines = [gpu, cpu];

/** Why a machine does not run, for a visitor; null if it runs or opens. */
export function trouble(machine) {
  switch (machine.state) {
    case "absent":
      return "This browser offers no WebGPU here, so the CPU does all the work. WebGPU needs a "
        + "recent browser, a GPU that the browser trusts, and a page from https or localhost.";
    case "failed":
      return `${machine.title} could not be opened. ${machine.message}`;
    case "lost":
      return `The device was lost. ${machine.message}`;
    default:
      return null;
  }
}
