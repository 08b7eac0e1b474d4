// Times wgpu-rnn beside onnxruntime-web in headless Chromium, on WebGPU and on wasm.
//
//     scripts/web build && npm ci --prefix tests/web && npm ci --prefix benches/web
//     node benches/web/main.mjs OUT.json [OPTION]...
//
// Writes rows for `wgpu-rnn bench --with`, and prints ratios. Options:
//     --seconds N      the time limit for each shape (default: 10)
//     --backends LIST  of webgpu and wasm (default: both)
//     --typical        choose schedules by typical rates, without a calibration
//     --node           measure wasm in Node, without a browser
// WGPU_RNN_PACKAGE names another package than target/web/package.

import { renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { measure, ratios } from "./measure.js";

const folder = dirname(fileURLToPath(import.meta.url));
const packageFolder = process.env.WGPU_RNN_PACKAGE ?? join(folder, "../../target/web/package");
const ortFolder = join(folder, "node_modules/onnxruntime-web/dist");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "10" },
    backends: { type: "string", default: "webgpu,wasm" },
    typical: { type: "boolean", default: false },
    node: { type: "boolean", default: false },
  },
});
const [out] = positionals;
const options = {
  seconds: Number(values.seconds),
  backends: values.backends.split(","),
  calibrate: !values.typical,
};
if (!out || !(options.seconds > 0)) {
  console.error("usage: node benches/web/main.mjs OUT.json [OPTION]... (main.mjs lists them)");
  process.exit(2);
}

/** Measures in Node. */
async function inNode() {
  const ort = await import(pathToFileURL(join(ortFolder, "ort.node.min.mjs")));
  ort.env.wasm.numThreads = 1;
  const rnn = await import(pathToFileURL(join(packageFolder, "index.js")));
  return measure({ rnn, ort }, { ...options, backends: ["wasm"] }, report);
}

/** Measures in a page. */
async function inBrowser() {
  const { start, EMPTY } = await import("../../tests/web/browser.mjs");
  const browser = await start({ folders: { rnn: packageFolder, ort: ortFolder, bench: folder } });
  try {
    const page = await browser.open(EMPTY);
    await page.exposeFunction("report", report);
    return await page.evaluate(async (options) => {
      const ort = await import("/ort/ort.webgpu.min.mjs");
      ort.env.wasm.wasmPaths = "/ort/";
      ort.env.wasm.numThreads = 1;
      const rnn = await import("/rnn/index.js");
      const { measure } = await import("/bench/measure.js");
      return measure({ rnn, ort }, options, window.report);
    }, options);
  } finally {
    await browser.close();
  }
}

/** Prints a row. */
function report({ system, backend, agrees, ...row }) {
  const sizes = [row.seq_len, row.batch, row.input_size, row.hidden_size];
  const ms = (row.wall_us.median / 1000).toFixed(3);
  console.error(`${system} on ${backend}: ${row.kind} ${sizes} ${ms} ms`
    + (agrees ? "" : ", but its output is wrong"));
}

const rows = await (values.node ? inNode() : inBrowser());
// Move the complete file: a reader must not see half of it.
writeFileSync(`${out}.part`, JSON.stringify({ rows }, null, 1));
renameSync(`${out}.part`, out);
console.log(ratios(rows).join("\n"));
process.exitCode = rows.every((row) => row.agrees) ? 0 : 1;
