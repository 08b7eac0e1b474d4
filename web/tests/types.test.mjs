// The declarations list the members that the classes have, no more and no fewer.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { folder, rnn } from "./package.mjs";

/** The members of a class in `index.d.ts`. */
function declared(text, name) {
  const body = text.match(new RegExp(`export class ${name}\\b[^{]*{\n(.*?)\n}\n`, "s"))[1];
  const member = /^ {2}(static )?(?:readonly )?(\w+)[(:?]/gm;
  return [...body.matchAll(member)]
    .map(([, isStatic, member]) => (isStatic ?? "") + member)
    .filter((member) => !["private", "constructor"].includes(member))
    .sort();
}

/** The members of a class. */
function present(type) {
  const own = (object) => Object.getOwnPropertyNames(object);
  // Members that JavaScript or the generated bindings add.
  const others = ["length", "name", "prototype", "constructor", "__wrap", "__destroy_into_raw"];
  return [...own(type.prototype), ...own(type).map((name) => `static ${name}`)]
    .filter((name) => !others.includes(name.replace("static ", "")) || name === "name")
    .filter((name) => !/^(static )?__/.test(name) && name !== "constructor")
    .sort();
}

test("the declarations are those of the classes", async () => {
  const text = await readFile(new URL("index.d.ts", folder), "utf8");
  for (const name of [
    "Device",
    "StateDict",
    "Rnn",
    "RnnStream",
    "Sequential",
    "Network",
    "NetworkStream",
    "LanguageModel",
  ]) {
    // Internal: `generate` calls `start`, and `Sequential.load` calls `Network.load`.
    const internal = { LanguageModel: ["start"], Network: ["static load"] }[name] ?? [];
    const found = present(rnn[name]).filter((member) => !internal.includes(member));
    assert.deepEqual(found, declared(text, name), name);
  }
  const exported = [...text.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(
    ([, name]) => name,
  );
  assert.deepEqual(
    Object.keys(rnn)
      .filter((name) => name !== "default")
      .sort(),
    exported.sort(),
  );
});

/** Makes a module of each JavaScript block of the README, with the names that it leaves open. */
async function readme(scratch) {
  const text = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const open = `
    declare const input: Float32Array, frame: Float32Array;
    declare const steps: number, rows: number, features: number;
    declare const model: import("wgpu-rnn").LanguageModel;
    declare function show(text: string): void;
    export {};
  `;
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
  assert.ok(blocks.length >= 3, `${blocks.length} blocks`);
  const files = blocks.map((_, at) => join(scratch, `readme${at}.ts`));
  await Promise.all(blocks.map((block, at) => writeFile(files[at], block + open)));
  return files;
}

test("the types of a program and of the README are checked", async (context) => {
  const compiler = fileURLToPath(
    new URL("../../tests/web/node_modules/typescript/bin/tsc", import.meta.url),
  );
  if (!existsSync(compiler) && !process.env.WGPU_RNN_REQUIRE_WEB) {
    context.skip("no TypeScript: run npm ci in tests/web");
    return;
  }
  const scratch = await mkdtemp(join(tmpdir(), "wgpu-rnn-"));
  try {
    const at = (name) => [fileURLToPath(new URL(name, folder))];
    const paths = { "wgpu-rnn": at("index.d.ts"), "wgpu-rnn/client.js": at("client.d.ts") };
    const compilerOptions = {
      noEmit: true,
      strict: true,
      target: "es2022",
      module: "esnext",
      moduleResolution: "bundler",
      lib: ["es2022", "dom", "dom.asynciterable"],
      types: [],
      paths,
    };
    const sample = fileURLToPath(new URL("sample.ts", import.meta.url));
    const files = [sample, ...(await readme(scratch))];
    const project = join(scratch, "tsconfig.json");
    await writeFile(project, JSON.stringify({ compilerOptions, files }));
    execFileSync(process.execPath, [compiler, "--project", project], { encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout ?? error);
  } finally {
    await rm(scratch, { recursive: true });
  }
});
