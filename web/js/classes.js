/**
 * The classes that cross between a page and its worker.
 *
 * `methods` run in the worker. `facts` never change, so that a handle carries their values. `live`
 * properties can change: each read asks the worker.
 */
export const CLASSES = {
  Device: {
    statics: ["open"],
    methods: ["destroy"],
    facts: ["name", "backend", "driver", "isGpu", "isSoftware", "limits"],
    live: ["isLost", "lost"],
  },
  StateDict: {
    statics: ["parse"],
    methods: ["shape", "dtype", "tensor", "integers", "renamed", "folded", "inspect"],
    facts: ["fileType", "names", "metadata"],
  },
  Rnn: {
    statics: ["load", "init"],
    methods: ["forward", "stream", "explain"],
    facts: ["config"],
  },
  RnnStream: { methods: ["forward", "state", "setState", "reset"], facts: ["batch"] },
  Network: {
    statics: ["load"],
    methods: ["forward", "forwardTokens", "stream", "decoder"],
    facts: ["inputShape", "outputShape"],
  },
  NetworkStream: {
    methods: ["forward", "forwardTokens", "greedy", "state", "setState", "reset"],
    facts: ["batch", "stride"],
  },
  LanguageModel: {
    statics: ["load"],
    methods: ["encode", "decode", "forward", "start"],
    facts: ["vocabularySize", "hasVocabulary"],
  },
  Generation: { methods: ["chunk"] },
};

/** The functions of `diagnostics`. */
export const DIAGNOSTICS = ["verify", "lockstep", "selfTest", "calibrate", "bench"];
