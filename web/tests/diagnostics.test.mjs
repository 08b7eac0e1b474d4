import assert from "node:assert/strict";
import { test } from "node:test";

import { cpu, Device, fails, file, rnn } from "./package.mjs";

const { diagnostics } = rnn;
const bytes = (name) => file(`tests/fixtures/pytorch/${name}.safetensors`);

test("case files pass, and wrong ones do not", async () => {
  const name = "grid_lstm_l2_bi_b3_t2";
  const good = await bytes(name);
  // A value of the weights or of the results, which come last in the file.
  const wrong = Uint8Array.from(good);
  wrong.set([0, 0, 128, 66], wrong.length - 4);
  const calls = [];
  const { results } = await diagnostics.verify(
    cpu,
    [
      { name: "good", bytes: good },
      { name: "wrong", bytes: wrong },
      { name: "none", bytes: new Uint8Array(9) },
    ],
    (...progress) => calls.push(progress),
  );
  assert.equal(results.length, 1);
  assert.deepEqual(
    results[0].cases.map(({ status }) => status),
    ["pass", "fail", "error"],
  );
  assert.equal(results[0].passed, 1);
  assert.match(results[0].cases[1].reason, /./);
  assert.deepEqual(
    calls.map(([done, of]) => [done, of]),
    [
      [0, 3],
      [1, 3],
      [2, 3],
      [3, 3],
    ],
  );
  assert.equal(calls[1][2], "wrong");
  await fails("Option", /cases\[0\]/, () => diagnostics.verify(cpu, [{ name: "x" }]));
  await fails("Option", /progress should be a function/, () => diagnostics.verify(cpu, [], 3));
});

test("the CPU agrees with the definition, and has no kernels", async () => {
  let last = 0;
  const { results } = await diagnostics.selfTest(cpu, (done) => (last = done));
  assert.equal(results[0].failed + results[0].errors, 0, JSON.stringify(results[0]));
  assert.ok(results[0].passed >= 12);
  assert.equal(last, results[0].cases.length);
  assert.deepEqual(await diagnostics.lockstep(cpu), []);
});

test("a benchmark has the program's rows", async () => {
  const shapes = [
    { kind: "gru", input_size: 8, hidden_size: 16, seq_len: 10 },
    { hidden_size: 8, seq_len: 2 },
  ];
  const report = await diagnostics.bench(cpu, { shapes, repetitions: 2, seconds: 5 });
  assert.equal(report.complete, true);
  assert.deepEqual(
    report.rows.map(({ kind, agrees }) => [kind, agrees]),
    [
      ["gru", true],
      ["lstm", true],
    ],
  );
  assert.match(report.started, /^\d{4}-\d\d-\d\dT.*Z$/);
  await fails("Option", /unknown suite 'fast'/, () => diagnostics.bench(cpu, { suite: "fast" }));
  await fails("Option", /shapes\[0\] has no field 'units'/, () =>
    diagnostics.bench(cpu, { shapes: [{ units: 3 }] }),
  );
  await fails("Option", /seconds/, () => diagnostics.bench(cpu, { seconds: 0 }));
});

test("a calibration opens a device", async () => {
  const shapes = [{ hidden_size: 8, seq_len: 2 }];
  const { calibrations } = await diagnostics.bench(cpu, { shapes, repetitions: 1 });
  const calibration = { ...calibrations[0], measured: true };
  const device = await Device.open("cpu", { calibration });
  const report = await diagnostics.bench(device, { shapes, repetitions: 1 });
  assert.deepEqual(report.calibrations, [calibration]);
  assert.ok(report.rows[0].floor_us_per_step > 0, "a roofline");
});
