import assert from "node:assert/strict";
import { test } from "node:test";

import { cpu, fails, file, LanguageModel, StateDict } from "./package.mjs";

const weights = StateDict.parse(await file("models/shakespeare.safetensors"));
const model = await LanguageModel.load(cpu, weights);

/** The text of a generation. */
async function text(prompt, options) {
  let text = "";
  for await (const token of model.generate(prompt, options)) text += token.text;
  return text;
}

// `wgpu-rnn generate --device cpu --prompt ROMEO: --length 60 --temperature 0`, and with
// `--temperature 0.7 --seed 3`.
const GREEDY = "\nI will not stay the sea to the sea to the state,\nAnd the se";
const DRAWN = "\nNo, all your father; none the officer of me\nIn for the prof";

test("the text is the native program's", async () => {
  assert.equal(await text("ROMEO:", { temperature: 0, tokens: 60 }), GREEDY);
  assert.equal(await text("ROMEO:", { temperature: 0.7, seed: 3n, tokens: 60 }), DRAWN);
  assert.equal(
    await text(model.encode("ROMEO:"), { temperature: 0, tokens: 60, chunk: 7 }),
    GREEDY,
  );
});

test("a vocabulary maps text to tokens and back", async () => {
  assert.equal(model.vocabularySize, 65);
  assert.equal(model.hasVocabulary, true);
  const tokens = model.encode("ROMEO:");
  assert.ok(tokens instanceof Uint32Array);
  assert.equal(model.decode(tokens), "ROMEO:");
  assert.equal(model.decode([...tokens]), "ROMEO:");
  await fails("UnknownName", /column 2/, () => model.encode("aß"));
  await fails("Option", /token 65/, () => model.decode([65]));
  await fails("Option", /tokens\[0\]/, () => model.decode(["a"]));
  const logits = await model.forward(tokens);
  assert.deepEqual(logits.shape, [6, 65]);
  const best = logits.data
    .slice(-65)
    .reduce((best, value, at, all) => (value > all[best] ? at : best), 0);
  assert.equal(model.decode([best]), GREEDY[0]);
});

test("a loop may end early, and several texts may interleave", async () => {
  const all = model.generate("A", { temperature: 0 });
  let taken = "";
  for await (const { text } of all) {
    taken += text;
    if (taken.length === 40) break;
  }
  assert.deepEqual(await all.next(), { value: undefined, done: true });
  const [one, other] = [0, 1].map(() => model.generate("A", { temperature: 0, chunk: 8 }));
  assert.equal(one[Symbol.asyncIterator](), one);
  let pair = ["", ""];
  for (let at = 0; at < 40; at++) {
    const steps = await Promise.all([one.next(), other.next()]);
    pair = pair.map((text, side) => text + steps[side].value.text);
  }
  assert.deepEqual(pair, [taken, taken]);
  assert.deepEqual(await one.return(), { value: undefined, done: true });
  await other.return();
});

test("calls of next() keep their order", async () => {
  const iterator = model.generate("A", { temperature: 0, tokens: 10, chunk: 4 });
  const steps = await Promise.all(Array.from({ length: 12 }, () => iterator.next()));
  assert.deepEqual(
    steps.map(({ done }) => done),
    [...Array(10).fill(false), true, true],
  );
});

test("a token ends the text, and so does a signal", async () => {
  const [stop] = model.encode("\n");
  const line = await text("ROMEO:", { temperature: 0.7, seed: 3, stop, tokens: 2000 });
  assert.equal(line.indexOf("\n"), line.length - 1);
  const controller = new AbortController();
  let count = 0;
  await assert.rejects(
    async () => {
      for await (const _ of model.generate("A", { signal: controller.signal })) {
        if (++count === 5) controller.abort();
      }
    },
    { name: "AbortError" },
  );
  assert.equal(count, 5);
  await assert.rejects(model.generate("A", { signal: AbortSignal.abort() }).next(), {
    name: "AbortError",
  });
});

test("errors come from the loop", async () => {
  await fails("Option", /no field 'temprature'/, () => text("A", { temprature: 0 }));
  await fails("Option", /temperature/, () => text("A", { temperature: NaN }));
  await fails("Option", /temperature/, () => text("A", { temperature: "warm" }));
  await fails("Option", /topP|top_p/, () => text("A", { topP: 2 }));
  await fails("Option", /chunk/, () => text("A", { chunk: 0 }));
  await fails("Option", /tokens/, () => text("A", { tokens: -1 }));
  await fails("Shape", /empty/, () => text("", {}));
  await fails("Option", /65/, () => text([65], {}));
  assert.equal(await text("A", { tokens: 0 }), "");
});

test("a freed model finishes its texts", async () => {
  const model = await LanguageModel.load(cpu, weights);
  const iterator = model.generate("A", { temperature: 0, tokens: 3, chunk: 1 });
  await iterator.next();
  model.free();
  assert.equal((await iterator.next()).done, false);
});
