// The entry of the package: the classes of the module, and the parts that only JavaScript can
// express.

import load, * as module from "./wgpu_rnn_web.js";
import { adapters } from "./adapters.js";
import { RnnError } from "./error.js";
import { generate } from "./generate.js";
import { Sequential } from "./sequential.js";
import { connect, content, take } from "./side.js";

export { adapters, RnnError, Sequential };
export {
  Device,
  LanguageModel,
  Network,
  NetworkStream,
  Rnn,
  RnnStream,
  StateDict,
} from "./wgpu_rnn_web.js";

/** Judging a device. */
export const diagnostics = {
  verify: module.verify,
  lockstep: module.lockstep,
  selfTest: module.selfTest,
  calibrate: module.calibrate,
  bench: module.bench,
};

let loaded;

/** Loads the module once. Later calls return the same promise; after a failure they try again. */
export default function init(source, files) {
  loaded ??= start(source, files).catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function start(source, files) {
  take(files);
  const file = source ?? new URL("./wgpu_rnn_web_bg.wasm", import.meta.url);
  connect(await load({ module_or_path: await content(await file) }));
}

Sequential.prototype.load = function (device, weights, prefix, options) {
  return module.Network.load(device, weights, this.input, [...this.modules], prefix, options);
};

module.LanguageModel.prototype.generate = function (prompt, options) {
  return generate((others) => this.start(prompt, others), options);
};

// A freed object reports that it is freed. Freeing it again is harmless.
const { Device, Generation, LanguageModel, Network, NetworkStream, Rnn, RnnStream, StateDict } =
  module;
for (const type of [
  Device,
  Generation,
  LanguageModel,
  Network,
  NetworkStream,
  Rnn,
  RnnStream,
  StateDict,
]) {
  const release = type.prototype.free;
  type.prototype.free = function () {
    if (Object.hasOwn(this, "freed")) return;
    release.call(this);
    Object.defineProperty(this, "freed", { value: true });
    // The generated methods read their handle from this property.
    Object.defineProperty(this, "__wbg_ptr", {
      get() {
        throw new RnnError("Freed", `this ${type.name} was freed`);
      },
    });
  };
  if (Symbol.dispose) type.prototype[Symbol.dispose] = type.prototype.free;
}
