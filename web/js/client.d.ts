/**
 * The same classes for a page whose module runs in a worker. A handle stands for each object.
 * Every call returns a promise; properties that cannot change are values.
 *
 * ```js
 * import { connect } from "wgpu-rnn/client.js";
 * const rnn = await connect();
 * const device = await rnn.Device.open("auto");
 * const weights = await rnn.StateDict.parse(bytes);
 * const lstm = await rnn.Rnn.load(device, weights, "encoder.");
 * ```
 *
 * Arguments are copied to the worker, and results move from it. Handles that the page drops are
 * freed; `free()` frees at once.
 */
import * as api from "./index.js";

export { RnnError } from "./index.js";

/** The handle of an object, or a plain value as it is. */
type Crossed<T> = T extends api.Device
  ? Device
  : T extends api.StateDict
    ? StateDict
    : T extends api.Rnn
      ? Rnn
      : T extends api.RnnStream
        ? RnnStream
        : T extends api.LanguageModel
          ? LanguageModel
          : T extends api.Network
            ? Network
            : T extends api.NetworkStream
              ? NetworkStream
              : T;

/** The arguments of a method, with handles for objects. */
type Arguments<A extends unknown[]> = { [K in keyof A]: Crossed<A[K]> };

/** A method that runs in the worker. Iterators cross as they are. */
type Call<F> = F extends (...values: infer A) => infer R
  ? R extends AsyncGenerator<unknown, unknown, unknown>
    ? F
    : (...values: Arguments<A>) => Promise<Crossed<Awaited<R>>>
  : never;

/** The members that stay in the page. */
type Local = "free" | "toString";

/** An object in the worker. */
type Remote<T> = {
  [K in keyof T]: K extends Local
    ? T[K]
    : T[K] extends (...values: never[]) => unknown
      ? Call<T[K]>
      : K extends "isLost"
        ? Promise<T[K]>
        : T[K];
};

/** The static methods of a class. */
type Statics<C> = { [K in Exclude<keyof C, "prototype">]: Call<C[K]> };

export interface Device extends Remote<api.Device> {}
export interface StateDict extends Remote<api.StateDict> {}
export interface Rnn extends Remote<api.Rnn> {}
export interface RnnStream extends Remote<api.RnnStream> {}
export interface Network extends Remote<api.Network> {}
export interface NetworkStream extends Remote<api.NetworkStream> {}
export interface LanguageModel extends Remote<api.LanguageModel> {}

/** The builder, which is plain data in the page. */
export interface Sequential extends Omit<Builder, "load"> {
  load(
    device: Device,
    weights: StateDict,
    prefix?: string,
    options?: api.LoadOptions,
  ): Promise<Network>;
}

/** Methods that return the builder return it for the worker. */
type Builder = {
  [K in keyof api.Sequential]: api.Sequential[K] extends (...values: infer A) => api.Sequential
    ? (...values: A) => Sequential
    : api.Sequential[K];
};

/** The classes of one worker. */
export interface Connection {
  readonly Device: Statics<typeof api.Device>;
  readonly StateDict: Statics<typeof api.StateDict>;
  readonly Rnn: Statics<typeof api.Rnn>;
  readonly LanguageModel: Statics<typeof api.LanguageModel>;
  readonly Sequential: {
    new (input: number | readonly [number, number]): Sequential;
    tokens(): Sequential;
  };
  readonly diagnostics: { [K in keyof typeof api.diagnostics]: Call<(typeof api.diagnostics)[K]> };
  readonly RnnError: typeof api.RnnError;
  readonly adapters: typeof api.adapters;
  /** Ends the worker. Calls that wait fail with the kind `WorkerLost`. */
  close(): void;
}

/** Starts a worker and loads the module in it. Each call starts another worker. */
export function connect(options?: {
  /** A worker that runs worker.js. */
  worker?: Worker;
  /** The module, or its address. By default it is the file next to worker.js. */
  module?: URL | string | BufferSource | WebAssembly.Module;
  /** The files of side modules, or their addresses, by file name; see `init`. */
  files?: Record<string, URL | string | BufferSource | WebAssembly.Module>;
}): Promise<Connection>;
