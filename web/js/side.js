// Side modules: code that the module loads into its memory when a call needs it.
//
// A side module has a file of its own, and small files of the code that it shares with others.
// links.js, which the build makes, lists them and links the module to the functions made here.

import { RnnError } from "./error.js";

/** The exports of the module: its memory and its table of functions among them. */
let main;

/** The functions that return the addresses of all files, by name. */
let addresses;

/** The files that the caller of `init` gives, by name. */
let given;

/** The reasons why side modules could not be loaded, by name. */
const failures = new Map();

/** Connects with the module, which has been loaded. */
export function connect(exports) {
  main = exports;
}

/** Takes the files that the caller of `init` gives. */
export function take(files) {
  const names = Object.keys(addresses);
  for (const name of Object.keys(files ?? {})) {
    if (names.includes(name)) continue;
    const text = `files has '${name}': expected some of ${names.join(", ")}`;
    throw new RnnError("Option", text);
  }
  given = files ?? {};
}

/** Whether something is an address, not what is there. */
export function isAddress(source) {
  return typeof source === "string" || source instanceof URL;
}

function isFile(source) {
  return isAddress(source) && /^file:/.test(source);
}

/** What to load from an address: it, or the bytes of a file in Node, which cannot fetch files. */
export async function content(url) {
  if (!isFile(url)) return url;
  // A name in a variable, which no bundler looks for.
  const fs = "node:fs/promises";
  const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ fs);
  return readFile(new URL(url));
}

/**
 * Makes the function `(side, files) => load` for the side modules of a build, by the addresses of
 * all files. The module calls `load`, which calls back with a success or a failure.
 */
export function sides(build, all) {
  addresses = all;
  const loaded = new Map();
  /** Loads a file once. After a failure the next call tries again. */
  const once = (name) => {
    if (!loaded.has(name)) {
      const fail = (error) => {
        loaded.delete(name);
        throw new Error(`${name}: ${error?.message ?? error}`);
      };
      loaded.set(name, instantiate(name, build).catch(fail));
    }
    return loaded.get(name);
  };
  return (side, files) => async (callback, data) => {
    const loads = await Promise.allSettled(files.map(once));
    const failed = loads.find(({ status }) => status === "rejected");
    if (failed) failures.set(side, failed.reason.message);
    main.__indirect_function_table.get(callback)(data, failed === undefined);
  };
}

/** The error of a call whose side module could not be loaded. */
export function failure(side) {
  return new RnnError("SideModule", failures.get(side));
}

/** Loads a file into the memory of the module. */
async function instantiate(name, build) {
  const source = await (given[name] ?? addresses[name]());
  const checked = async (options) => check(await compile(source, options), name, build);
  const module = await checked().catch((error) => {
    if (!isAddress(source) || isFile(source)) throw error;
    // A cache may hold what was there before: ask the server itself.
    return checked({ cache: "reload" }).catch(({ message }) => {
      throw new Error(`${source}: ${message}; the next call tries again`);
    });
  });
  await WebAssembly.instantiate(module, { __wasm_split: main });
}

/** Returns the module of a file of this name and build: it has addresses in the main module. */
function check(module, name, build) {
  const [found] = WebAssembly.Module.customSections(module, "build");
  const text = found === undefined ? "" : new TextDecoder().decode(found);
  if (text === `${build} ${name}`) return module;
  throw new Error(
    text.startsWith(build)
      ? `this is the file ${text.slice(build.length + 1)}`
      : "the file is not of the same build as the module; load the page again",
  );
}

/** Compiles a file. Unlike streaming, this needs no MIME type of the server. */
async function compile(source, options) {
  if (source instanceof WebAssembly.Module) return source;
  if (isFile(source)) return WebAssembly.compile(await content(source));
  if (source instanceof Response) return WebAssembly.compile(await bytes(source));
  if (!isAddress(source)) return WebAssembly.compile(source);
  // Bundlers inline small files. A page's policy may forbid to fetch them.
  const [, inlined] = /^data:[^,]*;base64,(.*)$/.exec(source) ?? [];
  if (inlined === undefined) return WebAssembly.compile(await bytes(await fetch(source, options)));
  return WebAssembly.compile(Uint8Array.from(atob(inlined), (char) => char.charCodeAt(0)));
}

/** The bytes of an answer. */
async function bytes(response) {
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}
