// The texts of the native program, for the page's check mark.
//
//     node tests/web/native.mjs        # writes examples/web/expected.json
//
// WGPU_RNN_PROGRAM names a built program; otherwise cargo builds and runs it.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const model = `${root}models/shakespeare.safetensors`;

/** The file with the texts, which the page reads. */
export const expectedFile = `${root}examples/web/expected.json`;

/** The settings whose text the page knows. */
export const settings = [
  { prompt: "ROMEO:", temperature: 0.7, seed: 3, length: 400 },
  { prompt: "ROMEO:", temperature: 0, seed: 0, length: 400 },
  { prompt: "JULIET:", temperature: 0.8, seed: 1, length: 400 },
  { prompt: "To be, or not to be", temperature: 0.5, seed: 7, length: 400 },
  { prompt: "KING HENRY:", temperature: 1, seed: 2, length: 400 },
];

/** Runs the program and returns what it writes to stdout. */
export function program(...args) {
  const built = process.env.WGPU_RNN_PROGRAM;
  const [command, first] = built
    ? [built, []] : ["cargo", ["run", "--quiet", "--release", "--"]];
  return execFileSync(command, [...first, ...args], {
    cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 28,
  });
}

/** The tokens of the model's vocabulary, in order: each is one character. */
function vocabulary() {
  const bytes = readFileSync(model);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf8"));
  return JSON.parse(header.__metadata__.vocabulary);
}

/** The tokens that the native program writes on the CPU. */
export function nativeTokens({ prompt, temperature, seed, length }) {
  const options = { prompt, temperature, seed, length, device: "cpu" };
  const text = program("generate",
    ...Object.entries(options).map(([name, value]) => `--${name}=${value}`));
  // The program prints the prompt first and a line feed last.
  const ids = new Map(vocabulary().map((token, id) => [token, id]));
  const tokens = [...text.slice(prompt.length, -1)].map((token) => ids.get(token));
  if (tokens.length !== length || tokens.includes(undefined)) {
    throw new Error(`${tokens.length} tokens, expected ${length}: ${JSON.stringify(text)}`);
  }
  return tokens;
}

/** The content of `expected.json`: a line for each setting. */
export function expected() {
  const lines = settings.map(({ length, ...one }) =>
    JSON.stringify({ ...one, tokens: nativeTokens({ ...one, length }) }));
  return `[\n${lines.join(",\n")}\n]\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(expectedFile, expected());
