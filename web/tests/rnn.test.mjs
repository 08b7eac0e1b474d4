import assert from "node:assert/strict";
import { test } from "node:test";

import { close, cpu, Device, fails, file, numbers, Rnn, StateDict } from "./package.mjs";

const LSTM = { kind: "lstm", inputSize: 3, hiddenSize: 4, numLayers: 2, bidirectional: true };
const GRU = { kind: "gru", inputSize: 3, hiddenSize: 4 };

test("a module has PyTorch's shapes", async () => {
  const lstm = Rnn.init(cpu, LSTM, 7);
  assert.deepEqual(lstm.config, {
    kind: "lstm",
    inputSize: 3,
    hiddenSize: 4,
    numLayers: 2,
    numDirections: 2,
    projSize: 0,
    bias: true,
    batchFirst: false,
  });
  const { output, state } = await lstm.forward(numbers(30), [5, 2, 3]);
  assert.deepEqual(output.shape, [5, 2, 8]);
  assert.ok(output.data instanceof Float32Array);
  assert.deepEqual(state.h.shape, [4, 2, 4]);
  assert.deepEqual(state.c.shape, [4, 2, 4]);
  const again = await lstm.forward(numbers(30), [5, 2, 3], { state, lengths: [5, 2] });
  assert.deepEqual(again.output.data.slice(-8), new Float32Array(8), "padding is 0");
  assert.notDeepEqual(again.output.data, output.data);
  const first = Rnn.init(cpu, LSTM, 7, { batchFirst: true });
  assert.deepEqual((await first.forward(numbers(30), [2, 5, 3])).output.shape, [2, 5, 8]);
  assert.deepEqual((await lstm.forward(numbers(15), [5, 3])).state.h.shape, [4, 4], "unbatched");
  assert.match(lstm.explain(5, 2), /^schedule \w+: /);
});

test("results are PyTorch's", async () => {
  for (const name of [
    "grid_lstm_l2_bi_b1_t7_nobias_bf_h0",
    "lengths_unsorted_lstm_l2_b4_t11_bf_h0_p2",
    "batch_gru_l2_bi_b9_t2",
    "batch_rnn_relu_l2_bi_b9_t2",
  ]) {
    const fixture = StateDict.parse(await file(`tests/fixtures/pytorch/${name}.safetensors`));
    const weights = fixture.names.filter((name) => /^(weight|bias)_/.test(name));
    const file_ = fixture.renamed(weights.map((name) => [name, `rnn.${name}`]));
    const { batch_first, kind } = fixture.metadata;
    const options = { batchFirst: batch_first === "true" };
    if (kind === "rnn_relu") options.nonlinearity = "relu";
    const rnn = Rnn.load(cpu, file_, "rnn.", options);
    assert.equal(rnn.config.kind, kind);
    const has = (name) => fixture.shape(name) !== undefined;
    const state = has("h0")
      ? { h: fixture.tensor("h0"), c: has("c0") ? fixture.tensor("c0") : undefined }
      : undefined;
    const lengths = has("lengths") ? [...fixture.integers("lengths")].map(Number) : undefined;
    const input = fixture.tensor("input");
    const got = await rnn.forward(input.data, input.shape, { state, lengths });
    close(got.output, fixture.tensor("output"), 1e-5);
    close(got.state.h, fixture.tensor("hn"), 1e-5);
    if (has("cn")) close(got.state.c, fixture.tensor("cn"), 1e-5);
  }
});

test("a seed is a number or a bigint", async () => {
  const run = async (seed) =>
    (await Rnn.init(cpu, GRU, seed).forward(numbers(3), [1, 3])).output.data;
  assert.deepEqual(await run(5), await run(5n));
  assert.deepEqual(await run(undefined), await run(0));
  assert.notDeepEqual(await run(5), await run(0));
  await fails("Option", /seed/, () => Rnn.init(cpu, GRU, -1));
  await fails("Option", /seed.*1\.5/, () => Rnn.init(cpu, GRU, 1.5));
  await fails("Option", /seed/, () => Rnn.init(cpu, GRU, 2n ** 64n));
});

test("arguments that are wrong are named", async () => {
  const gru = Rnn.init(cpu, GRU);
  const input = numbers(6);
  await fails("Option", /input should be a Float32Array, got Array/, () =>
    gru.forward([1], [1, 1, 3]),
  );
  await fails("Option", /input .*undefined/, () => gru.forward());
  await fails("Option", /shape should be an array of numbers, got 3/, () => gru.forward(input, 3));
  await fails("Option", /shape\[1\] .* NaN/, () => gru.forward(input, [2, NaN, 3]));
  await fails("Option", /shape\[0\] .* -2/, () => gru.forward(input, [-2, 1, 3]));
  await fails("Option", /shape\[0\] .* 0\.5/, () => gru.forward(input, [0.5, 1, 3]));
  await fails("Option", /shape\[0\]/, () => gru.forward(input, [2 ** 32, 1, 3]));
  await fails("TensorSize", /holds 9 elements, but 6/, () => gru.forward(input, [3, 1, 3]));
  await fails("Shape", /input/, () => gru.forward(input, [3, 1, 2]));
  await fails("Option", /options has no field 'lenghts'; it has state, lengths/, () =>
    gru.forward(input, [2, 1, 3], { lenghts: [2] }),
  );
  await fails("Option", /options should be an object/, () => gru.forward(input, [2, 1, 3], 1));
  await fails("Option", /options\.state: missing field `h`|options\.state.*h/, () =>
    gru.forward(input, [2, 1, 3], { state: {} }),
  );
  await fails("Shape", /hidden/, () =>
    gru.forward(input, [2, 1, 3], { state: { h: { data: numbers(2), shape: [1, 1, 2] } } }),
  );
  await fails("Option", /no field 'hidden'/, () => Rnn.init(cpu, { ...GRU, hidden: 3 }));
  await fails("Option", /config.*hiddenSize/, () => Rnn.init(cpu, { kind: "gru", inputSize: 3 }));
  await fails("Option", /config\.inputSize/, () => Rnn.init(cpu, { ...GRU, inputSize: "3" }));
  await fails("UnknownName", /unknown kind 'lsmt'/, () => Rnn.init(cpu, { ...GRU, kind: "lsmt" }));
  await fails("Config", /num_layers/, () => Rnn.init(cpu, { ...GRU, numLayers: 0 }));
  await fails("UnknownName", /unknown schedule 'fast'/, () =>
    Rnn.init(cpu, GRU, 0, { schedule: "fast" }),
  );
  await fails("Option", /no field 'batch_first'/, () =>
    Rnn.init(cpu, GRU, 0, { batch_first: true }),
  );
  await fails("Option", /GRU/, () => Rnn.init(cpu, GRU, 0, { nonlinearity: "relu" }));
  assert.throws(() => Rnn.load(cpu, undefined), /StateDict/);
});

test("a stream has the bits of one run", async () => {
  const gru = Rnn.init(cpu, GRU);
  const input = numbers(7 * 2 * 3);
  const whole = (await gru.forward(input, [7, 2, 3])).output.data;
  const stream = gru.stream(2);
  assert.equal(stream.batch, 2);
  const pieces = [];
  for (const [from, to] of [
    [0, 1],
    [1, 5],
    [5, 7],
  ]) {
    const { data } = await stream.forward(input.slice(from * 6, to * 6), [to - from, 2, 3]);
    pieces.push(...data);
  }
  assert.deepEqual(Float32Array.from(pieces), whole);
});

test("calls of a stream run in their order, without waiting for them", async () => {
  const gru = Rnn.init(cpu, GRU);
  const input = numbers(18);
  const stream = gru.stream();
  const steps = [];
  const frame = new Float32Array(3);
  for (let at = 0; at < 6; at++) {
    frame.set(input.subarray(at * 3, at * 3 + 3)); // the array is copied at the call
    steps.push(stream.forward(frame, [1, 1, 3]));
  }
  const before = stream.state();
  const reset = stream.reset();
  const after = stream.forward(input.subarray(0, 3), [1, 1, 3]);
  const failed = fails("Shape", /input/, () => stream.forward(input.subarray(0, 3), [1, 3, 1]));
  const restored = before.then((state) => stream.setState(state));
  const whole = await gru.forward(input, [6, 1, 3]);
  const got = (await Promise.all(steps)).flatMap(({ data }) => [...data]);
  assert.deepEqual(Float32Array.from(got), whole.output.data);
  assert.deepEqual((await before).h.data, whole.state.h.data);
  assert.equal(await reset, undefined);
  assert.deepEqual((await after).data, whole.output.data.slice(0, 4));
  await failed;
  await restored;
  assert.deepEqual((await stream.state()).h.data, whole.state.h.data);
  await fails("Shape", /hidden/, () =>
    stream.setState({ h: { data: numbers(8), shape: [1, 2, 4] } }),
  );
});

test("calls of a module may overlap, and free() during a call is safe", async () => {
  const gru = Rnn.init(cpu, GRU);
  const want = (await gru.forward(numbers(300), [100, 1, 3])).output.data;
  const stream = gru.stream();
  const calls = Array.from({ length: 5 }, () => gru.forward(numbers(300), [100, 1, 3]));
  const streamed = stream.forward(numbers(300), [100, 1, 3]);
  stream.free();
  gru.free();
  gru.free();
  for (const { output } of await Promise.all(calls)) assert.deepEqual(output.data, want);
  assert.deepEqual((await streamed).data, want);
  await fails("Freed", /this Rnn was freed/, () => gru.forward(numbers(3), [1, 3]));
  await fails("Freed", /this RnnStream was freed/, () => stream.state());
});

test("devices", async () => {
  assert.equal(cpu.name, "cpu");
  assert.equal(cpu.isGpu, false);
  assert.equal(cpu.isLost, false);
  assert.equal(cpu.limits.memoryBudget, Infinity);
  assert.equal(String(cpu), cpu.toString());
  const device = await Device.open("auto");
  assert.equal(device.name, "cpu", "Node has no WebGPU");
  await fails("NoAdapter", /no WebGPU/, () => Device.open("webgpu"));
  await fails("UnknownName", /unknown device 'gpu'/, () => Device.open("gpu"));
  await fails("Option", /no field 'self_test'/, () => Device.open("cpu", { self_test: false }));
  await fails("UnknownName", /unknown limit 'max_bytes'/, () =>
    Device.open("cpu", { limits: { maxBytes: 1 } }),
  );
  await fails("Option", /options\.calibration/, () =>
    Device.open("cpu", { calibration: { device: 1 } }),
  );
  const small = await Device.open("cpu", { limits: { memoryBudget: 100 } });
  assert.equal(small.limits.memoryBudget, 100);
  await fails("Limit", /memory_budget/, () => Rnn.init(small, GRU));
});
