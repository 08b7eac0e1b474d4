import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cpu, Device, fails, file, LanguageModel, Rnn, Sequential, StateDict,
} from "./package.mjs";

test("a file of safetensors is read from an ArrayBuffer and from a Uint8Array", async () => {
  const bytes = await file("models/shakespeare.safetensors");
  const weights = StateDict.parse(bytes, { name: "shakespeare.safetensors" });
  assert.equal(weights.fileType, "safetensors");
  assert.deepEqual(weights.shape("decoder.bias"), [65]);
  assert.equal(weights.dtype("decoder.bias"), "F16");
  assert.equal(weights.shape("nothing"), undefined);
  assert.equal(weights.dtype("nothing"), undefined);
  assert.ok(weights.names.includes("rnn.weight_ih_l0"));
  assert.equal(JSON.parse(weights.metadata.vocabulary).length, 65);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const same = StateDict.parse(buffer);
  assert.deepEqual(same.tensor("decoder.bias"), weights.tensor("decoder.bias"));
  assert.equal(buffer.byteLength, bytes.byteLength, "the caller keeps its buffer");
  const [model] = weights.inspect().modules;
  assert.match(model.module, /LSTM/);
  assert.equal(model.error, null);
  const renamed = weights.renamed([
    ["rnn.", "lstm."],
    ["decoder.bias", "b"],
  ]);
  assert.deepEqual(renamed.shape("b"), [65]);
  assert.equal(Rnn.load(cpu, renamed, "lstm.").config.kind, "lstm");
  assert.deepEqual(renamed.folded().names, renamed.names);
});

test("a name or a prefix that is no string is refused", async () => {
  const weights = StateDict.parse(await file("models/shakespeare.safetensors"));
  const string = /^(name|prefix|selector|text): .*expected a string/;
  await fails("Option", string, () => weights.tensor(5));
  await fails("Option", string, () => weights.shape({}));
  await fails("Option", string, () => Rnn.load(cpu, weights, 5));
  await fails("Option", string, () => LanguageModel.load(cpu, weights, 5));
  await fails("Option", string, () => new Sequential(1).load(cpu, weights, 5));
  await fails("Option", string, () => Device.open(5));
  const model = await LanguageModel.load(cpu, weights);
  await fails("Option", string, () => model.encode(5));
});

test("a file of torch.save is read, by a key too", async () => {
  const bytes = await file("tests/fixtures/checkpoints/2.9/checkpoint.ckpt");
  const report = StateDict.parse(bytes).inspect();
  assert.match(report.type, /PyTorch/);
  assert.ok(report.tensors.length > 0);
  const whole = StateDict.parse(bytes, { key: report.key });
  assert.deepEqual(
    whole.names,
    report.tensors.map(({ name }) => name),
  );
  await fails("File", /nothing/, () => StateDict.parse(bytes, { key: "nothing" }));
});

test("bad files and bad arguments are refused", async () => {
  await fails("File", /^weights\.bin: /, () =>
    StateDict.parse(new Uint8Array(100).fill(7), { name: "weights.bin" }),
  );
  await fails("File", /./, () => StateDict.parse(new ArrayBuffer(0)));
  await fails("Option", /bytes should be an ArrayBuffer or a Uint8Array, got "x"/, () =>
    StateDict.parse("x"),
  );
  await fails("Option", /bytes .* Promise/, () => StateDict.parse(Promise.resolve()));
  const weights = StateDict.parse(await file("models/shakespeare.safetensors"));
  await fails("File", /no tensor 'x'/, () => weights.tensor("x"));
  await fails("Option", /pairs/, () => weights.renamed({ a: "b" }));
  await fails("Option", /pairs\[0\]/, () => weights.renamed([["a"]]));
  await fails("Option", /cannot rename 'a'/, () => weights.renamed([["a", "b"]]));
  await fails("NoRecurrentWeights", /nothing\./, () => Rnn.load(cpu, weights, "nothing."));
  weights.free();
  await fails("Freed", /this StateDict was freed/, () => weights.names);
});
