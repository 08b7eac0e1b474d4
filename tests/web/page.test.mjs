// The page in headless Chromium, on WebGPU and on the CPU, as a visitor uses it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { EMPTY, root, skip, start, written } from "./browser.mjs";
import { expected, expectedFile, nativeTokens } from "./native.mjs";

const BAD_FILE = join(root, "LICENSE-MIT");
const GOOD_FILE = join(root, "tests/fixtures/checkpoints/f32.safetensors");
const CASE_FILE = join(root, "tests/fixtures/pytorch/grid_lstm_l2_b3_t11_bf.safetensors");

const text = (page, selector) => page.locator(selector).innerText();

const panel = (kind) => `.panel.${kind}`;

const verdict = (page, kind) => text(page, `${panel(kind)} .native dd`);

/** The page scrolls sideways by this number of pixels. */
const overflow = (page) => page.evaluate(() =>
  document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Writes with new settings and waits for the end. */
async function write(page, settings) {
  for (const [name, value] of Object.entries(settings)) await page.fill(`#${name}`, String(value));
  await page.click("#go");
  await written(page);
}

/** The content of a file that the page offers. */
async function downloaded(page, name) {
  const waiting = page.waitForEvent("download");
  await page.click(`a[download="${name}"]`);
  return JSON.parse(readFileSync(await (await waiting).path(), "utf8"));
}

test("the texts of the native program are up to date", { skip }, () => {
  assert.equal(readFileSync(expectedFile, "utf8"), expected());
});

describe("the page", { skip }, () => {
  let browser;
  let page;
  before(async () => {
    browser = await start();
    page = await browser.open("/?seconds=0.2&tokens=33&test");
    await written(page);
  });
  after(() => browser?.close());

  test("writes the native program's text on both devices", async () => {
    for (const kind of ["gpu", "cpu"]) {
      assert.equal(await verdict(page, kind), "✓ the same 33 tokens");
    }
    assert.match(await text(page, "#agreement"), /^✓ WebGPU and the CPU wrote the same 33 tokens/);
    assert.match(await text(page, "#status"), /software adapter/);
    const times = await text(page, "#build");
    assert.match(times, /WebGPU \d.* CPU \d/);
    console.log(times);
    for (const kind of ["gpu", "cpu"]) {
      const rate = await text(page, `${panel(kind)} dd >> nth=0`);
      assert.match(rate, /^[1-9][\d,]*$/);
      console.log(`${kind}: ${rate} tokens per second`);
    }
  });

  test("writes the native program's greedy text", async () => {
    await page.selectOption("#known", { label: "ROMEO: greedy" });
    await write(page, { tokens: 24 });
    for (const kind of ["gpu", "cpu"]) {
      assert.equal(await verdict(page, kind), "✓ the same 24 tokens");
    }
  });

  test("compares the devices for other settings", async () => {
    await write(page, { prompt: "HAMLET:", temperature: 0.9, seed: 11, tokens: 16 });
    assert.equal(await verdict(page, "gpu"), "not known for these settings");
    assert.match(await text(page, "#agreement"), /^✓ .* the same 16 tokens/);
  });

  test("shows the library's message for a prompt outside the vocabulary", async () => {
    await write(page, { prompt: "Ω" });
    assert.match(await text(page, `${panel("cpu")} [role=alert] .notice`), /Ω/);
    assert.match(await text(page, `${panel("gpu")} [role=alert] .notice`), /Ω/);
    await write(page, { prompt: "ROMEO:", tokens: 3 });
    assert.equal(await page.locator(`${panel("cpu")} .notice`).count(), 0);
  });

  test("stops at the button", async () => {
    await page.fill("#tokens", "100000");
    await page.click("#go");
    await page.waitForFunction(() =>
      document.querySelector(".panel.cpu pre").innerText.length > 99);
    await page.click("#stop");
    await written(page);
    assert.equal(await text(page, "#agreement"), "Stopped.");
  });

  test("does all its work in two workers", async () => {
    assert.equal(page.workers().length, 2);
    const loaded = await page.evaluate(() =>
      performance.getEntriesByType("resource").map((entry) => entry.name));
    assert.ok(loaded.some((name) => name.endsWith("/main.js")));
    assert.deepEqual(loaded.filter((name) => name.endsWith(".wasm")), []);
  });

  test("examines the GPU: every check passes, and the reports are the program's", async () => {
    await page.check("input[name=device][value=gpu]");
    await page.uncheck("#calibrate");
    await page.click("#examine-go");
    await page.waitForSelector("a[download='bench.json'], #findings .notice");
    for (const id of ["self-test", "kernels", "times"]) {
      const line = await text(page, `#${id}`);
      assert.match(line, /^✓/);
      console.log(line);
    }
    const verify = await downloaded(page, "verify.json");
    assert.ok(verify.results[0].passed > 0);
    assert.equal(verify.results[0].failed, 0);
    const bench = await downloaded(page, "bench.json");
    assert.ok(bench.rows.length > 0);
    for (const row of bench.rows) assert.ok(row.agrees && row.wall_us.median > 0, row.name);
    const kernels = await downloaded(page, "kernels.json");
    assert.ok(kernels.every((kernel) => kernel.agrees));
  });

  test("examines the CPU, with the roofline", async () => {
    await page.check("input[name=device][value=cpu]");
    await page.check("#calibrate");
    await page.click("#examine-go");
    await page.waitForSelector("a[download='bench.json'], #findings .notice");
    assert.match(await text(page, "#self-test"), /^✓/);
    assert.match(await text(page, "#times"), /^✓/);
  });

  test("inspects the shipped model and runs its LSTM on both devices", async () => {
    await page.click("#shipped");
    await page.waitForSelector("#run-verdict");
    assert.match(await text(page, "#file-report"), /LSTM\(64, 320, num_layers=2\)/);
    const line = await text(page, "#run-verdict");
    assert.match(line, /Input \[16, 2, 64\], output \[16, 2, 320\]/);
    const difference = Number(/devices: (.*)\.$/.exec(line)[1]);
    assert.ok(difference < 1e-5, line);
  });

  test("says what is wrong with a bad file", async () => {
    await page.setInputFiles("#weights", BAD_FILE);
    await page.waitForSelector("#file-error .notice");
    assert.match(await text(page, "#file-error"), /^LICENSE-MIT: not a valid safetensors file/);
    assert.equal(await text(page, "#file-report"), "");
    // A good file afterwards clears the message.
    await page.setInputFiles("#weights", GOOD_FILE);
    await page.waitForSelector("#file-name");
    assert.equal(await text(page, "#file-error"), "");
    await page.waitForSelector("#run-verdict");
  });

  test("verifies a case file on both devices", async () => {
    await page.setInputFiles("#weights", CASE_FILE);
    await page.waitForFunction(() => document.querySelectorAll("#case-verdicts li").length === 2);
    const lines = (await text(page, "#case-verdicts")).split("\n").sort();
    assert.match(lines[0], /^✓ CPU: passed/);
    assert.match(lines[1], /^✓ WebGPU: passed/);
  });

  test("fits a phone without scrolling sideways", async () => {
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await overflow(page), 0, `at ${width} pixels`);
    }
  });

  test("shows a lost device and opens it again", async () => {
    await page.click(`${panel("gpu")} >> text=Lose the device`);
    await write(page, { prompt: "ROMEO:", temperature: 0.7, seed: 3, tokens: 31 });
    assert.match(await text(page, `${panel("gpu")} .notice`), /^The device was lost\. .+/);
    assert.equal(await verdict(page, "cpu"), "✓ the same 31 tokens");
    await page.click("text=Open it again");
    await page.waitForSelector(`${panel("gpu")}[data-state=ready]`);
    await write(page, { tokens: 32 });
    assert.equal(await verdict(page, "gpu"), "✓ the same 32 tokens");
  });

  test("raised no error in the console", () => assert.deepEqual(page.faults, []));
});

describe("the library without the page's workers", { skip }, () => {
  let browser;
  before(async () => { browser = await start(); });
  after(() => browser?.close());

  test("works without a worker", async () => {
    const page = await browser.open("/?direct&tokens=20");
    await written(page);
    assert.equal(page.workers().length, 0);
    for (const kind of ["gpu", "cpu"]) {
      assert.equal(await verdict(page, kind), "✓ the same 20 tokens");
    }
    assert.deepEqual(page.faults, []);
  });

  test("gives the native program's tokens to a program in JavaScript", async () => {
    const page = await browser.open(EMPTY);
    const wanted = nativeTokens({ prompt: "KATHARINA:", temperature: 0, seed: 0, length: 30 });
    for (const selector of ["webgpu", "cpu"]) {
      const tokens = await page.evaluate(async (selector) => {
        const { connect } = await import("/package/client.js");
        const rnn = await connect();
        const device = await rnn.Device.open(selector);
        const response = await fetch("/models/shakespeare.safetensors");
        const weights = await rnn.StateDict.parse(await response.arrayBuffer());
        const model = await rnn.LanguageModel.load(device, weights);
        const tokens = [];
        const options = { temperature: 0, tokens: 30 };
        for await (const { token } of model.generate("KATHARINA:", options)) tokens.push(token);
        return tokens;
      }, selector);
      assert.deepEqual(tokens, wanted, selector);
    }
  });
});

describe("the page without WebGPU", { skip }, () => {
  let browser;
  before(async () => { browser = await start({ webgpu: false }); });
  after(() => browser?.close());

  test("says so and runs on the CPU", async () => {
    const page = await browser.open("/?tokens=33");
    await written(page);
    assert.match(await text(page, `${panel("gpu")} .notice`), /^This browser offers no WebGPU/);
    assert.match(await text(page, "#status"), /the CPU does/);
    assert.equal(await verdict(page, "cpu"), "✓ the same 33 tokens");
    await page.click("#shipped");
    await page.waitForSelector("#run-verdict");
    assert.match(await text(page, "#run-verdict"), /One device ran/);
    assert.deepEqual(page.faults, []);
  });

  test("is usable with the keyboard alone", async () => {
    const page = await browser.open("/?tokens=33");
    await written(page);
    const focused = () => page.evaluate(() => document.activeElement.id
      || document.activeElement.className || document.activeElement.textContent);
    /** Presses Tab until the element has the focus, which must be visible at each stop. */
    const tabTo = async (wanted) => {
      for (let presses = 0; presses < 60; presses += 1) {
        await page.keyboard.press("Tab");
        const outline = await page.evaluate(() =>
          getComputedStyle(document.activeElement).outlineStyle);
        assert.notEqual(outline, "none", `no visible focus on ${await focused()}`);
        if (await focused() === wanted) return;
      }
      assert.fail(`Tab does not reach ${wanted}`);
    };
    await tabTo("skip");
    await page.keyboard.press("Enter");
    await tabTo("prompt");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("JULIET:");
    await tabTo("tokens");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("20");
    await page.keyboard.press("Enter");
    await written(page);
    assert.match(await text(page, `${panel("cpu")} pre`), /^JULIET:/);
    await tabTo("weights");
    await tabTo("shipped");
    await page.keyboard.press("Space");
    await page.waitForSelector("#run-verdict");
    assert.deepEqual(page.faults, []);
  });

  test("marks a text that differs from the native program's", async () => {
    const page = await browser.open("about:blank");
    await page.route("**/expected.json", async (route) => {
      const list = JSON.parse(readFileSync(expectedFile, "utf8"));
      list[0].tokens[6] = (list[0].tokens[6] + 1) % 65;
      await route.fulfill({ json: list });
    });
    await page.goto(`${browser.address}/?tokens=33`);
    await written(page);
    assert.match(await verdict(page, "cpu"), /^✗ differs from token 7 on/);
  });
});
