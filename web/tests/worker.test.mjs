import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import * as direct from "./package.mjs";
import { fails, file, folder, numbers } from "./package.mjs";

const { connect, RnnError } = await import(new URL("client.js", folder));

/** A thread of Node that looks like a worker of a browser. */
function thread() {
  const worker = new Worker(new URL("thread.mjs", import.meta.url), {
    workerData: String(new URL("worker.js", folder)),
  });
  const like = {
    postMessage: (message, transfer) => worker.postMessage(message, transfer),
    terminate: () => worker.terminate(),
  };
  worker.on("message", (data) => like.onmessage({ data }));
  worker.on("error", (error) => like.onerror(error));
  return like;
}

async function connected(run) {
  const rnn = await connect({ worker: thread() });
  try {
    await run(rnn);
  } finally {
    rnn.close();
  }
}

const GRU = { kind: "gru", inputSize: 3, hiddenSize: 4 };

test("results in a worker are those of the page", () =>
  connected(async (rnn) => {
    const device = await rnn.Device.open("auto");
    assert.ok(device instanceof rnn.Device);
    assert.equal(device.name, "cpu");
    assert.equal(String(device), String(direct.cpu));
    assert.equal(await device.isLost, false);
    assert.equal(device.limits.memoryBudget, Infinity);
    const gru = await rnn.Rnn.init(device, GRU, 3n);
    assert.equal(gru.config.kind, "gru");
    const input = numbers(30);
    const want = await direct.Rnn.init(direct.cpu, GRU, 3).forward(input, [5, 2, 3]);
    const got = await gru.forward(input, [5, 2, 3]);
    assert.deepEqual(got, want);
    assert.equal(input.length, 30, "the caller keeps its array");
    const stream = await gru.stream(2);
    const steps = [0, 1, 2, 3, 4].map((at) =>
      stream.forward(input.subarray(at * 6, at * 6 + 6), [1, 2, 3]),
    );
    const pieces = (await Promise.all(steps)).flatMap(({ data }) => [...data]);
    assert.deepEqual(Float32Array.from(pieces), want.output.data);
    assert.deepEqual(await stream.state(), want.state);
  }));

test("files, networks and texts cross over", () =>
  connected(async (rnn) => {
    const device = await rnn.Device.open("cpu");
    const bytes = await file("models/shakespeare.safetensors");
    const weights = await rnn.StateDict.parse(bytes);
    assert.ok(bytes.byteLength > 0, "the caller keeps its bytes");
    assert.deepEqual(await weights.shape("decoder.bias"), [65]);
    assert.equal(await weights.shape("nothing"), undefined);
    assert.ok(weights.names.includes("decoder.bias"));
    const units = (await weights.shape("decoder.weight"))[1];
    const network = await new rnn.Sequential(units)
      .linear("decoder.")
      .softmax()
      .load(device, weights, "", { allowUnused: true });
    const { shape } = await network.forward(numbers(2 * units), [2, units]);
    assert.deepEqual(shape, [2, 65]);
    const model = await rnn.LanguageModel.load(device, weights);
    assert.equal(model.vocabularySize, 65);
    let text = "";
    for await (const token of model.generate("ROMEO:", { temperature: 0, tokens: 40 }))
      text += token.text;
    const same = await direct.LanguageModel.load(direct.cpu, direct.StateDict.parse(bytes));
    let want = "";
    for await (const token of same.generate("ROMEO:", { temperature: 0, tokens: 40 }))
      want += token.text;
    assert.equal(text, want);
    const endless = model.generate("A");
    await endless.next();
    assert.deepEqual(await endless.return(), { value: undefined, done: true });
    model.free();
    await fails("Freed", /this LanguageModel was freed/, () => model.encode("a"));
  }));

test("errors cross with their kind", () =>
  connected(async (rnn) => {
    const device = await rnn.Device.open("cpu");
    const gru = await rnn.Rnn.init(device, GRU);
    assert.equal(rnn.RnnError, RnnError);
    await fails("Shape", /input/, () => gru.forward(numbers(6), [3, 1, 2]));
    await fails("Option", /no field 'x'/, () => rnn.Rnn.init(device, GRU, 0, { x: 1 }));
    await fails("NoAdapter", /no WebGPU/, () => rnn.Device.open("webgpu"));
    await assert.rejects(gru.forward(numbers(3), [1, 3], { state: () => 1 }), {
      name: "DataCloneError",
    });
    await connected(async (other) => {
      await fails("Option", /belongs to another worker/, () => other.Rnn.init(device, GRU));
    });
  }));

test("a lost worker rejects all calls that wait, and later ones", async () => {
  const worker = thread();
  const rnn = await connect({ worker });
  const device = await rnn.Device.open("cpu");
  const gru = await rnn.Rnn.init(device, GRU);
  const calls = [1, 2].map(() => gru.forward(numbers(3), [1, 3]));
  worker.onerror(new Error("it crashed"));
  worker.onmessage({ data: { id: 3, value: "a reply that comes late" } });
  for (const call of calls) await fails("WorkerLost", /it crashed/, () => call);
  await fails("WorkerLost", /it crashed/, () => gru.forward(numbers(3), [1, 3]));
  gru.free();
  rnn.close();
  await fails("WorkerLost", /script|found|failed/i, () => {
    const missing = new Worker(new URL("missing.mjs", import.meta.url));
    const like = { postMessage: () => {}, terminate: () => missing.terminate() };
    missing.on("error", (error) => like.onerror(error));
    return connect({ worker: like });
  });
});
