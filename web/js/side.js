// Side modules: code that the module loads into its memory when a call needs it.
//
// A side module has a file of its own, and small files of the code that it shares with others.
// links.js, which the build makes, lists them and links the module to the functions made here.

import { RnnError } from "./error.js";

/** The exports of the module: its memory and its table of functions among them. */
let main;

/** The files that the caller of `init` gives, by name. */
let given;

/** The reasons why side modules could not be loaded, by name. */
const failures = new Map();

/** Connects with the module, which has been loaded. */
export function connect(exports, files = {}) {
  main = exports;
  given = files;
}

/** What to load from an address: it, or the bytes of a file in Node, which cannot fetch files. */
export async function content(url) {
  if (url.protocol !== "file:") return url;
  const { readFile } = await import(
    /* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises"
  );
  return readFile(url);
}

/**
 * Makes the function `(side, files) => load` for the side modules of a build, by the addresses of
 * all files. The module calls `load`, which calls back with a success or a failure.
 */
export function sides(build, addresses) {
  const loaded = new Map();
  /** Loads a file once. After a failure the next call tries again. */
  const once = (name) => {
    if (!loaded.has(name)) {
      const fail = ({ message }) => {
        loaded.delete(name);
        throw new Error(`${name}: ${message}`);
      };
      loaded.set(name, instantiate(build, given[name] ?? addresses[name]()).catch(fail));
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
  return new RnnError("SideModule", `${failures.get(side)}; the next call tries again`);
}

/** Loads a file into the memory of the module. It has addresses, so the builds must agree. */
async function instantiate(build, source) {
  const module = await compile(source);
  const [found] = WebAssembly.Module.customSections(module, "build");
  if (found === undefined || new TextDecoder().decode(found) !== build) {
    throw new Error("the file is not of the same build as the module");
  }
  await WebAssembly.instantiate(module, { __wasm_split: main });
}

/** Compiles a file. Unlike streaming, this needs no MIME type of the server. */
async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  const found = source instanceof URL ? await content(source) : source;
  if (typeof found !== "string" && !(found instanceof URL)) return WebAssembly.compile(found);
  const response = await fetch(found);
  if (!response.ok) throw new Error(`${found}: ${response.status} ${response.statusText}`);
  return WebAssembly.compile(await response.arrayBuffer());
}
