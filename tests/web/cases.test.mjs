// Case files in the browser, on WebGPU and on the CPU: a sample that has each feature of each kind.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";

import { EMPTY, root, skip, start } from "./browser.mjs";
import { program } from "./native.mjs";

const fixtures = join(root, "tests/fixtures/pytorch");
const conformance = process.env.WGPU_RNN_CONFORMANCE;

/** The header of a safetensors file; null for another file. */
function header(bytes) {
  try {
    const length = Number(bytes.readBigUInt64LE(0));
    return { ...JSON.parse(bytes.subarray(8, 8 + length).toString("utf8")), start: 8 + length };
  } catch {
    return null;
  }
}

/** The case files below a folder from which each further file adds a feature of its kind. */
function sample(folder) {
  const seen = new Set();
  const names = readdirSync(folder, { recursive: true }).map(String).sort();
  return names.filter((name) => {
    if (!name.endsWith(".safetensors") || name.startsWith("malformed")) return false;
    const metadata = header(readFileSync(join(folder, name)))?.__metadata__;
    if (metadata?.format !== "rnncase/1") return false;
    const features = metadata.features.split(",").map((feature) => `${metadata.kind} ${feature}`);
    const added = features.filter((feature) => !seen.has(feature));
    for (const feature of added) seen.add(feature);
    return added.length > 0;
  });
}

/** Each case's id and verdict by the native program. */
function native(folder, names) {
  const { results } = JSON.parse(
    program("verify", "--device=cpu", "--json", ...names.map((name) => join(folder, name))));
  return results[0].cases.map(({ id, status }) => ({ id, status }));
}

/** Runs case files in the page: from a served folder, or from bytes. */
const verify = (page, selector, names, folder, changed) => page.evaluate(
  async ({ selector, names, folder, changed }) => {
    const { connect } = await import("/package/client.js");
    const rnn = await (globalThis.rnn ??= connect());
    const device = await rnn.Device.open(selector, { selfTest: false });
    const cases = await Promise.all(names.map(async (name) => {
      const bytes = changed ? new Uint8Array(changed)
        : await (await fetch(`/${folder}/${name}`)).arrayBuffer();
      return { name, bytes };
    }));
    return (await rnn.diagnostics.verify(device, cases)).results[0];
  }, { selector, names, folder, changed });

describe("case files in the browser", { skip }, () => {
  let browser;
  let page;
  before(async () => {
    browser = await start({ folders: { fixtures, ...(conformance && { conformance }) } });
    page = await browser.open(EMPTY);
  });
  after(() => browser?.close());

  for (const [name, folder] of Object.entries({ fixtures, conformance })) {
    for (const selector of ["webgpu", "cpu"]) {
      const without = folder ? false : "WGPU_RNN_CONFORMANCE is not set";
      test(`${name} on ${selector}`, { skip: without }, async () => {
        const names = sample(folder);
        assert.ok(names.length >= 20, `only ${names.length} cases`);
        const result = await verify(page, selector, names, name);
        const { passed, failed, unsupported, errors, worst_share: worst } = result;
        console.log(`${name} on ${selector}: ${passed} passed, ${failed} failed, ${unsupported} `
          + `unsupported, ${errors} errors; largest share of a tolerance ${worst.toFixed(3)}`);
        // The browser's verdict of each case is the native program's, and no case fails.
        assert.deepEqual(result.cases.map(({ id, status }) => ({ id, status })),
          native(folder, names));
        assert.equal(failed + errors, 0);
      });
    }
  }

  test("a wrong expected value fails", async () => {
    const [name] = sample(fixtures);
    const bytes = readFileSync(join(fixtures, name));
    const { output, start: first } = header(bytes);
    const at = first + output.data_offsets[0];
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1e-3, at);
    for (const selector of ["webgpu", "cpu"]) {
      const result = await verify(page, selector, [name], "fixtures", [...bytes]);
      assert.equal(result.failed, 1, selector);
      assert.deepEqual(result.cases[0].worst, { tensor: "output", index: [0, 0, 0] });
    }
  });

  test("malformed files have the program's messages", {
    skip: conformance ? false : "WGPU_RNN_CONFORMANCE is not set",
  }, async () => {
    const names = readdirSync(join(conformance, "malformed"))
      .filter((name) => name.startsWith("bad_"));
    const messages = await page.evaluate(async (names) => {
      const { connect } = await import("/package/client.js");
      const rnn = await (globalThis.rnn ??= connect());
      return Promise.all(names.map(async (name) => {
        const response = await fetch(`/conformance/malformed/${name}`);
        try {
          await (await rnn.StateDict.parse(await response.arrayBuffer(), { name })).inspect();
          return "no error";
        } catch (error) {
          return `${error.kind}: ${error.message}`;
        }
      }));
    }, names);
    for (const [at, name] of names.entries()) {
      assert.match(messages[at], new RegExp(`^\\w+: ${name}: .{10}`), relative(root, name));
    }
  });
});
