import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";

import { close, cpu, fails, file, numbers, Sequential, StateDict } from "./package.mjs";

const FOLDER = "tests/fixtures/networks";
const fixture = async (name) => StateDict.parse(await file(`${FOLDER}/${name}`), { name });

/** The call of the builder for an operation of a fixture. */
function call({ op, prefix, ...rest }) {
  switch (op) {
    case "conv1d": {
      const { padding_mode: paddingMode, causal, padding, ...others } = rest;
      return ["conv1d", prefix, { ...others, paddingMode, padding: causal ? "causal" : padding }];
    }
    case "embedding": {
      const { max_norm: maxNorm, norm_type } = rest;
      if (maxNorm === null) return ["embedding", prefix];
      return [
        "embedding",
        prefix,
        { maxNorm, normType: norm_type === "inf" ? Infinity : norm_type },
      ];
    }
    case "rnn":
    case "cell":
      return rest.nonlinearity === "tanh" ? [op, prefix] : [op, prefix, rest];
    case "layer_norm":
      return ["layerNorm", prefix ?? null, { eps: rest.eps }];
    case "batch_norm1d":
      return ["batchNorm1d", prefix, rest];
    case "leaky_relu":
      return ["leakyRelu", rest.negative_slope];
    case "log_softmax":
      return ["logSoftmax"];
    case "gelu":
      return [rest.approximate === "tanh" ? "geluTanh" : "gelu"];
    case "unflatten":
      return ["unflatten", ...rest.sizes];
    case "dropout":
      return ["dropout", rest.p];
    case "concat":
      return ["concat", ...rest.names];
    case "name":
    case "from":
    case "add":
    case "mul":
      return [op, rest.name];
    default:
      return prefix === undefined ? [op] : [op, prefix];
  }
}

/** Loads the network of a fixture. */
function load(weights) {
  const { input, definition } = weights.metadata;
  const step = input === "tokens" ? undefined : JSON.parse(input);
  const start =
    step === undefined ? Sequential.tokens() : new Sequential(step.length === 1 ? step[0] : step);
  const network = JSON.parse(definition)
    .map(call)
    .reduce((network, [method, ...values]) => network[method](...values), start);
  return network.load(cpu, weights, "model.");
}

test("networks have PyTorch's results, whole and as streams", async () => {
  let count = 0;
  for (const name of readdirSync(new URL(`../../${FOLDER}`, import.meta.url))) {
    const weights = await fixture(name);
    if (weights.metadata.weights) continue; // of an example, which makes its weights
    const network = await load(weights);
    const want = weights.tensor("output");
    const run = async (on, { data, shape }) =>
      weights.metadata.input === "tokens" ? on.forwardTokens(data, shape) : on.forward(data, shape);
    const input =
      weights.metadata.input === "tokens"
        ? { data: [...weights.integers("tokens")].map(Number), shape: weights.shape("tokens") }
        : weights.tensor("input");
    const output = await run(network, input);
    const most = 10 * Number(weights.metadata.atol) + 1e-5;
    close(output, want, most);
    assert.deepEqual(network.outputShape, output.shape.slice(2), name);
    if (weights.metadata.streamable === "true") {
      const stream = network.stream(input.shape[1]);
      const steps = stream.stride * Math.floor(input.shape[0] / stream.stride);
      if (steps === input.shape[0]) assert.deepEqual(await run(stream, input), output, name);
      stream.free();
    }
    network.free();
    count++;
  }
  assert.ok(count > 80, `${count} networks`);
});

test("a decoder attends its memory", async () => {
  const name = "luong_general_lstm_l1_b2_m6.safetensors";
  const weights = StateDict.parse(await file(`tests/fixtures/attention/${name}`));
  const network = await Sequential.tokens()
    .embedding("embedding.")
    .rnn("rnn.")
    .name("h")
    .attention({ score: "general", keys: "attn.attn." })
    .name("context")
    .concat("h", "context")
    .linear("concat.")
    .tanh()
    .linear("out.")
    .load(cpu, weights, "model.");
  const [h, c] = [weights.tensor("h0"), weights.tensor("c0")];
  const [rows, units] = [h.shape[1], h.shape[2]];
  // One layer: each row has its h and its c.
  const state = new Float32Array(rows * 2 * units);
  for (let row = 0; row < rows; row++) {
    state.set(h.data.subarray(row * units, (row + 1) * units), 2 * row * units);
    state.set(c.data.subarray(row * units, (row + 1) * units), (2 * row + 1) * units);
  }
  const lengths = [...weights.integers("lengths")].map(Number);
  const stream = network.decoder(weights.tensor("memory"), lengths);
  stream.setState({ data: state, shape: [rows, 2 * units] });
  const want = [...weights.integers("tokens")].map(Number);
  const start = Array(rows).fill(Number(weights.metadata.start));
  const steps = want.length / rows;
  const got = await stream.greedy(start, steps);
  assert.deepEqual(got.flat(), want);
});

test("definitions that are wrong are named", async () => {
  const weights = await fixture("chain_detector.safetensors");
  const load = (network) => network.load(cpu, weights, "model.", { allowUnused: true });
  const on = (input) => new Sequential(input);
  const conv = (options) => load(on([2, 21]).conv1d("encoder.0.", options));
  await fails("Option", /linear: argument 1 is a string, got 3/, () => load(on(3).linear(3)));
  await fails("Option", /linear: argument 1 .* undefined/, () => load(on(3).linear()));
  await fails("Option", /conv1d's options has no field 'strides'/, () => conv({ strides: 2 }));
  await fails("Option", /conv1d's options\.stride/, () => conv({ stride: "2" }));
  await fails("Option", /paddingMode is 'none'/, () => conv({ paddingMode: "none" }));
  await fails("Option", /padding is 'full'/, () => conv({ padding: "full" }));
  await fails("Option", /two sides/, () => conv({ padding: [1, 2, 3] }));
  await fails("Option", /no score 'cosine'/, () => load(on(3).attention({ score: "cosine" })));
  await fails("Option", /unflatten/, () => load(on(6).unflatten(2)));
  await fails("Option", /features\[0\]/, () => load(on(NaN).relu()));
  await fails("Option", /features|step/, () => load(on([1, 2, 3]).relu()));
  await fails("Config", /nonlinearity 'elu'/, () => load(on(3).rnn("r.", { nonlinearity: "elu" })));
  await fails("Option", /linear: .* plain data/, () => on(3).linear(() => 1));
  const network = await load(on([2, 21]).conv1d("encoder.0."));
  await fails("TensorSize", /holds/, () => network.forward(numbers(3), [1, 1, 2, 21]));
  assert.deepEqual(network.inputShape, [2, 21]);
});

test("a definition keeps its arguments, and a load keeps the definition", async () => {
  const weights = await fixture("chain_detector.safetensors");
  const options = { stride: 1 };
  const step = [2, 21];
  const definition = new Sequential(step).conv1d("encoder.0.", options);
  options.stride = step[0] = "2";
  const loads = definition.load(cpu, weights, "model.", { allowUnused: true });
  definition.linear(3);
  assert.deepEqual((await loads).inputShape, [2, 21]);
});
