// The package that the tests load, and helpers of several tests.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

/** The package's folder: `WGPU_RNN_PACKAGE`, or the one that `scripts/web build` makes. */
export const folder = process.env.WGPU_RNN_PACKAGE
  ? new URL(`file://${process.env.WGPU_RNN_PACKAGE}/`)
  : new URL("../../target/web/package/", import.meta.url);

export const rnn = await import(new URL("index.js", folder));
export const { Device, LanguageModel, Rnn, RnnError, Sequential, StateDict } = rnn;
await rnn.default();

/** Reads a file of the repository. */
export const file = (path) => readFile(new URL(`../../${path}`, import.meta.url));

export const cpu = await Device.open("cpu");

/** Numbers that look random, from -1 to 1. */
export const numbers = (count) =>
  Float32Array.from({ length: count }, (_, at) => ((at * 7919) % 1000) / 500 - 1);

/** Checks that a call fails with an RnnError of a kind, whose text fits. */
export async function fails(kind, text, call) {
  const error = await (async () => call())().then(
    () => assert.fail(`${call} should fail`),
    (error) => error,
  );
  assert.ok(error instanceof RnnError, `${error?.stack ?? error}`);
  assert.ok(error instanceof Error);
  assert.equal(error.kind, kind, error.message);
  assert.match(error.message, text);
}

export function close(got, want, most = 1e-6) {
  assert.deepEqual(got.shape, want.shape);
  const worst = got.data.reduce(
    (most, value, at) => Math.max(most, Math.abs(value - want.data[at])),
    0,
  );
  assert.ok(worst <= most, `largest difference ${worst}`);
}
