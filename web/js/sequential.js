import { RnnError } from "./error.js";

/** The methods of the builder. Each one adds its name and its arguments to the definition. */
const METHODS = [
  "linear",
  "embedding",
  "rnn",
  "cell",
  "conv1d",
  "layerNorm",
  "batchNorm1d",
  "relu",
  "leakyRelu",
  "sigmoid",
  "tanh",
  "gelu",
  "geluTanh",
  "silu",
  "softmax",
  "logSoftmax",
  "magnitude",
  "flatten",
  "unflatten",
  "dropout",
  "name",
  "from",
  "concat",
  "add",
  "mul",
  "attention",
  "hidden",
];

/**
 * The definition of a network: plain data, which `load` gives to the module.
 *
 * Every method returns the builder, so that calls can be chained.
 */
export class Sequential {
  constructor(input) {
    this.input = copy("Sequential", input);
    this.modules = [];
  }

  /** A network whose input is a token in a step. Its first module is an embedding. */
  static tokens() {
    return new this("tokens");
  }
}

for (const method of METHODS) {
  Sequential.prototype[method] = function (...values) {
    this.modules.push([method, ...copy(method, values)]);
    return this;
  };
}

/** Copies arguments, so that the caller may reuse its objects. */
function copy(method, values) {
  try {
    return structuredClone(values);
  } catch (error) {
    throw new RnnError("Option", `${method}: an argument is not plain data: ${error.message}`);
  }
}
