// Side modules: files that the module loads when a call needs them.

import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { file, folder } from "./package.mjs";

const SIDES = ["diagnostics", "language_model", "networks"];
const MAIN = "wgpu_rnn_web_bg.wasm";

/** The files of all side modules, and of one. */
const files = readdirSync(folder).filter((name) => name.endsWith(".wasm") && name !== MAIN);
const filesOf = (side) => files.filter((name) => name.split(/[-.]/).includes(side));

/** Runs a test on a copy of the package, which is a module apart. */
async function copied(run) {
  const copy = await mkdtemp(join(tmpdir(), "wgpu-rnn-"));
  try {
    cpSync(fileURLToPath(folder), copy, { recursive: true });
    const load = async (...values) => {
      const rnn = await import(pathToFileURL(join(copy, "index.js")));
      await rnn.default(...values);
      return { rnn, cpu: await rnn.Device.open("cpu") };
    };
    await run(load, copy);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** The first call of each side module, and a check of its result. */
async function calls({ rnn, cpu }) {
  const bytes = await file("models/shakespeare.safetensors");
  const weights = rnn.StateDict.parse(bytes);
  const units = weights.shape("decoder.weight")[1];
  const options = { allowUnused: true };
  return {
    diagnostics: async () => {
      const { results } = await rnn.diagnostics.selfTest(cpu);
      assert.equal(results[0].failed + results[0].errors, 0);
    },
    networks: async () => {
      const definition = new rnn.Sequential(units).linear("decoder.");
      const network = await definition.load(cpu, weights, "", options);
      const { shape } = await network.stream().forward(new Float32Array(units), [1, 1, units]);
      assert.deepEqual(shape, [1, 1, 65]);
    },
    language_model: async () => {
      const model = await rnn.LanguageModel.load(cpu, weights);
      for await (const { text } of model.generate("ROMEO:", { temperature: 0, tokens: 1 }))
        assert.equal(text, "\n");
    },
  };
}

const fails = (call, pattern) =>
  assert.rejects(call, (error) => {
    assert.equal(error.name, "RnnError");
    assert.equal(error.kind, "SideModule", error.message);
    assert.match(error.message, pattern);
    return true;
  });

test("the package has the files that package.json names, and all side modules", async () => {
  const { exports } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
  const targets = Object.values(exports).flatMap((to) =>
    typeof to === "string" ? to : Object.values(to),
  );
  for (const target of targets.filter((target) => !target.includes("*")))
    assert.ok(existsSync(new URL(target, folder)), target);
  assert.equal(exports["./*.wasm"], "./*.wasm");
  for (const side of SIDES) assert.ok(files.includes(`${side}.wasm`), side);
});

test("the module needs no side module until a call does, and then tries again", () =>
  copied(async (load, copy) => {
    const move = (name, from, to) => renameSync(join(copy, name + from), join(copy, name + to));
    for (const name of files) move(name, "", ".away");
    const { rnn, cpu } = await load();
    const gru = rnn.Rnn.init(cpu, { kind: "gru", inputSize: 1, hiddenSize: 2 });
    await gru.forward(new Float32Array(3), [3, 1]);
    const all = await calls({ rnn, cpu });
    for (const side of SIDES) {
      const pair = [all[side](), all[side]()];
      for (const call of pair) await fails(call, /\.wasm: .*no such file/);
    }
    await assert.rejects(rnn.diagnostics.bench(cpu, { suites: 1 }), { kind: "Option" });
    for (const side of SIDES) {
      for (const name of filesOf(side)) if (!existsSync(join(copy, name))) move(name, ".away", "");
      await Promise.all([all[side](), all[side]()]);
    }
  }));

test("a file of another build is refused", () =>
  copied(async (load, copy) => {
    const name = join(copy, "networks.wasm");
    const bytes = await readFile(name);
    const all = await calls(await load());
    // The names of the build and of the file end it.
    const other = Uint8Array.from(bytes);
    other[other.length - 1 - "networks.wasm".length - 1] ^= 1;
    await writeFile(name, other);
    await fails(all.networks(), /^networks\.wasm: .*not of the same build/);
    await writeFile(name, await readFile(join(copy, "diagnostics.wasm")));
    await fails(all.networks(), /^networks\.wasm: this is the file diagnostics\.wasm$/);
    await writeFile(name, new Uint8Array(9));
    await fails(all.networks(), /^networks\.wasm: /);
    await writeFile(name, bytes);
    await all.networks();
  }));

test("files come from where the caller says, over HTTP without a MIME type too", () =>
  copied(async (load, copy) => {
    const asked = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      // The first call asks twice, since a cache may have answered.
      if (asked.length <= 2) return response.writeHead(503).end();
      response.end(bytes);
    });
    const bytes = await readFile(join(copy, "diagnostics.wasm"));
    await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
    try {
      const others = files.filter((name) => name !== "diagnostics.wasm");
      const given = others.map(async (name) => [name, await readFile(join(copy, name))]);
      const sources = Object.fromEntries(await Promise.all(given));
      sources["networks.wasm"] = new WebAssembly.Module(sources["networks.wasm"]);
      sources["diagnostics.wasm"] = `http://127.0.0.1:${server.address().port}/d`;
      for (const name of files) rmSync(join(copy, name));
      const all = await calls(await load(undefined, sources));
      await fails(all.diagnostics(), /^diagnostics\.wasm: http.*: 503 /);
      await Promise.all([...Object.values(all), ...Object.values(all)].map((call) => call()));
      assert.deepEqual(asked, ["/d", "/d", "/d"]);
    } finally {
      server.close();
    }
  }));

test("what cannot be an address fails the call, and files with unknown names are refused", () =>
  copied(async (load, copy) => {
    const index = await import(pathToFileURL(join(copy, "index.js")));
    await assert.rejects(async () => index.default(undefined, { networks: "x" }), (error) => {
      assert.equal(error.kind, "Option");
      assert.match(error.message, /^files has 'networks': expected some of .*networks\.wasm/);
      return true;
    });
    // A failure of `init` is not kept.
    await assert.rejects(index.default(new Uint8Array(9)));
    const bytes = await readFile(join(copy, "diagnostics.wasm"));
    const inlined = `data:application/wasm;base64,${bytes.toString("base64")}`;
    const given = { "networks.wasm": "?", "diagnostics.wasm": inlined };
    const all = await calls(await load(null, given));
    await all.diagnostics();
    await fails(all.networks(), /^networks\.wasm: \?: .*the next call tries again$/);
  }));
