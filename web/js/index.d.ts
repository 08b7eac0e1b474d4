/**
 * PyTorch's RNN, LSTM and GRU in browsers: on the GPU through WebGPU, and on the CPU.
 *
 * ```js
 * import init, { Device, Rnn, StateDict } from "wgpu-rnn";
 * await init();
 * const device = await Device.open("auto");
 * const weights = StateDict.parse(await (await fetch("model.pt")).arrayBuffer());
 * const lstm = Rnn.load(device, weights, "encoder.");
 * const { output, state } = await lstm.forward(input, [steps, rows, features]);
 * ```
 *
 * Shapes have PyTorch's letters: T steps, B rows, I input features, H hidden units, L layers,
 * D directions. All tensors are row-major. A call copies its arguments when it starts, so that
 * the caller may reuse its arrays at once.
 *
 * Every failure is an {@link RnnError}. An options object with an unknown field is refused.
 */

/**
 * Loads the WebAssembly module. Call it once, before all others.
 *
 * The code of networks, language models and diagnostics is in other files, the side modules. The
 * first call that needs one loads it, with the small files that it shares with others. If that
 * fails, the call fails with the kind `SideModule`, and the next one tries again.
 *
 * @param source The module, or its address. By default it is the file next to this one.
 * @param files The other `.wasm` files of the package, or their addresses, by file name, such as
 * `networks.wasm`. By default they are the files next to this one. An unknown name is refused.
 */
export default function init(
  source?: URL | string | Response | BufferSource | WebAssembly.Module,
  files?: Record<string, URL | string | Response | BufferSource | WebAssembly.Module>,
): Promise<void>;

/** An error of the library. */
export class RnnError extends Error {
  constructor(kind: ErrorKind, message: string);
  readonly name: "RnnError";
  /** The name of the variant of Rust's `Error`, or a kind that only JavaScript has. */
  readonly kind: ErrorKind;
}

/** The kinds of errors. Later versions may have others. */
export type ErrorKind =
  | "Config"
  | "Shape"
  | "TensorSize"
  | "Option"
  | "UnknownName"
  | "StateLost"
  | "StateDict"
  | "NoRecurrentWeights"
  | "File"
  | "Unsupported"
  | "Limit"
  | "NoAdapter"
  | "RequestDevice"
  | "SelfTest"
  | "OutOfMemory"
  | "DeviceLost"
  | "Gpu"
  /** A call on an object after its `free()`. */
  | "Freed"
  /** The code that a call needs could not be loaded. The next call tries again. */
  | "SideModule"
  /** The worker failed or was closed. */
  | "WorkerLost"
  | (string & {});

/** Values and a shape, row-major. */
export interface Tensor {
  data: Float32Array;
  shape: number[];
}

/** The state between two calls: `[L·D, B, H]`, and `c` for an LSTM. */
export interface State {
  h: Tensor;
  c?: Tensor;
}

/** A list of whole numbers. */
export type Counts = readonly number[] | Uint32Array | Int32Array;

/** The adapters of this browser; empty without WebGPU. */
export function adapters(): Promise<AdapterFacts[]>;

/** An adapter as the browser describes it. Browsers leave some texts empty. */
export interface AdapterFacts {
  name: string;
  backend: string;
  driver: string;
  type: string;
  /** Whether the adapter is software: good for tests, not for speed. */
  software: boolean;
  vendor: string;
  architecture: string;
  limits: Record<string, number>;
  features: string[];
}

/** Every class: memory outside of JavaScript's, which `free()` gives back at once. */
interface Owned {
  /** Gives the memory back. Calls that have started finish; later calls fail. */
  free(): void;
}

/** Options of opening a device. */
export interface OpenOptions {
  /** Whether a GPU must pass a self-test. On by default. */
  selfTest?: boolean;
  /** Limits to lower, under the names in {@link Device.limits}. */
  limits?: Record<string, number>;
  /** The most threads of the CPU engine. WebAssembly has one. */
  threads?: number;
  /** Whether to time runs by the device's own clock, if it has one. */
  timestamps?: boolean;
  /** The calibration that schedules are chosen by; see {@link diagnostics}. */
  calibration?: Calibration;
}

/** A GPU through WebGPU, or the CPU through WebAssembly. */
export class Device implements Owned {
  private constructor();
  /**
   * Opens a device: `"auto"`, a GPU if there is one and otherwise the CPU; `"cpu"`; or `"webgpu"`,
   * the adapter of this browser even if it is software.
   */
  static open(selector?: "auto" | "cpu" | "webgpu", options?: OpenOptions): Promise<Device>;
  /** `cpu`, or the adapter's name. */
  readonly name: string;
  readonly backend: string;
  readonly driver: string;
  readonly isGpu: boolean;
  readonly isSoftware: boolean;
  /** Whether the GPU device is lost: removed, destroyed, or stopped by the system. */
  readonly isLost: boolean;
  /** Resolves when the device is lost or destroyed. The CPU is never lost. */
  readonly lost: Promise<{ message: string }>;
  /** The limits that plans obey, under WebGPU's names, and some of the library's. */
  readonly limits: Record<string, number>;
  /** Gives the GPU device back. Later calls fail with the kind `DeviceLost`. */
  destroy(): void;
  /** Name, backend and driver. */
  toString(): string;
  free(): void;
}

/** The named tensors of a file. */
export class StateDict implements Owned {
  private constructor();
  /**
   * Reads a file of safetensors or of `torch.save`; its content shows which. No code in it is run.
   *
   * `name` is for error texts. `key` selects a dict in a checkpoint, such as `"state_dict"`.
   */
  static parse(
    bytes: ArrayBuffer | Uint8Array,
    options?: { name?: string; key?: string },
  ): StateDict;
  readonly fileType: string;
  readonly names: string[];
  readonly metadata: Record<string, string>;
  shape(name: string): number[] | undefined;
  dtype(name: string): string | undefined;
  /** The values of a tensor, as f32. */
  tensor(name: string): Tensor;
  /** The values of a tensor of integers, such as tokens. */
  integers(name: string): BigInt64Array;
  /** The same tensors under other names: pairs of an old and a new name or prefix. */
  renamed(pairs: readonly (readonly [string, string])[]): StateDict;
  /** The weights that `weight_norm` and WeightDrop store as other tensors. */
  folded(): StateDict;
  /** The modules that the names imply, and all tensors. */
  inspect(): FileReport;
  free(): void;
}

/** The content of a file of weights. */
export interface FileReport {
  path: string;
  type: string;
  key: string | null;
  modules: ModuleReport[];
  tensors: { name: string; dtype: string; shape: number[] }[];
  metadata: Record<string, string>;
  /** The case, if the file is a case file. */
  case: {
    id: string | null;
    module: string | null;
    unsupported: string[];
    error: string | null;
  } | null;
}

/** A module that the names of tensors imply. */
export interface ModuleReport {
  prefix: string;
  /** The module, as PyTorch prints it. */
  module: string | null;
  /** The properties that no file holds, as loading assumes them. */
  assumed: string[];
  unused: string | null;
  /** The reason why the module cannot be loaded. */
  error: string | null;
}

/** Options of loading a module. No state dict holds these properties. */
export interface LoadOptions {
  /** Whether input and output are `[B, T, ·]`, not `[T, B, ·]`. */
  batchFirst?: boolean;
  nonlinearity?: "tanh" | "relu";
  /** The type in which the device stores weights. */
  weights?: "f32" | "f16";
  /** How time steps map to dispatches; `"auto"` by default. */
  schedule?: "auto" | "step" | "step_tiled" | "persistent" | "sequence" | "wavefront";
  /** Whether tensors below the prefix may be unused. */
  allowUnused?: boolean;
}

export type Kind = "lstm" | "gru" | "rnn_tanh" | "rnn_relu";

/** The arguments of a module without weights. */
export interface RnnInit {
  kind: Kind;
  inputSize: number;
  hiddenSize: number;
  numLayers?: number;
  bidirectional?: boolean;
  bias?: boolean;
  projSize?: number;
}

/** The configuration of a module. */
export interface RnnConfig {
  kind: Kind;
  inputSize: number;
  hiddenSize: number;
  numLayers: number;
  numDirections: number;
  projSize: number;
  bias: boolean;
  batchFirst: boolean;
}

/** An `nn.RNN`, `nn.LSTM` or `nn.GRU` with its weights on a device. Calls may overlap. */
export class Rnn implements Owned {
  private constructor();
  /** Loads the module under a prefix. Kind and sizes come from the file. */
  static load(device: Device, weights: StateDict, prefix?: string, options?: LoadOptions): Rnn;
  /** Creates a module with the weights of `torch.manual_seed(seed)`. */
  static init(device: Device, config: RnnInit, seed?: number | bigint, options?: LoadOptions): Rnn;
  readonly config: RnnConfig;
  /**
   * Runs the module: `[T, B, I]` gives `[T, B, D·H]`; `[B, T, ·]` with `batchFirst`; `[T, ·]` for a
   * single sequence. `lengths` are the valid steps of each row.
   */
  forward(
    input: Float32Array,
    shape: Counts,
    options?: { state?: State; lengths?: Counts },
  ): Promise<{ output: Tensor; state: State }>;
  /** Opens a stream of rows from a zero state. */
  stream(batch?: number): RnnStream;
  /** The reason for the schedule of these sizes. */
  explain(seqLen: number, batch: number): string;
  free(): void;
}

/** Calls that continue from each other. They run in the order in which they are made. */
export class RnnStream implements Owned {
  private constructor();
  readonly batch: number;
  forward(input: Float32Array, shape: Counts): Promise<Tensor>;
  state(): Promise<State>;
  setState(state: State): Promise<void>;
  /** Sets the state to zero. */
  reset(): Promise<void>;
  free(): void;
}

/** The constructor arguments of `nn.Conv1d`. */
export interface Conv1dOptions {
  stride?: number;
  /** Positions on both sides, or before and after; `"same"`; or `"causal"`, for streams. */
  padding?: number | readonly [number, number] | "same" | "causal";
  paddingMode?: "zeros" | "reflect" | "replicate" | "circular";
  dilation?: number;
  groups?: number;
}

/** The score of attention, and the prefixes of its linear layers. */
export type AttentionOptions =
  | { score: "dot" }
  | { score: "general"; keys: string }
  | { score: "concat"; both: string; v: string }
  | { score: "additive"; query: string; keys: string; v: string };

/**
 * The definition of a network, as `nn.Sequential` has it, with names for values that later modules
 * join. It runs as one recording.
 */
export class Sequential {
  /** Starts a network of `F` values in a step, or of `[C, L]`: channels and positions. */
  constructor(input: number | readonly [number, number]);
  /** Starts a network whose input is a token in a step. */
  static tokens(): Sequential;
  linear(prefix: string): this;
  embedding(prefix: string, options?: { maxNorm?: number; normType?: number }): this;
  rnn(prefix: string, options?: { nonlinearity?: "tanh" | "relu" }): this;
  cell(prefix: string, options?: { nonlinearity?: "tanh" | "relu" }): this;
  /** Over time if the value of a step is `[F]`, inside the step if it is `[C, L]`. */
  conv1d(prefix: string, options?: Conv1dOptions): this;
  /** `null` is for `elementwise_affine=False`. */
  layerNorm(prefix: string | null, options?: { eps?: number }): this;
  batchNorm1d(prefix: string, options?: { eps?: number }): this;
  relu(): this;
  leakyRelu(negativeSlope?: number): this;
  sigmoid(): this;
  tanh(): this;
  gelu(): this;
  geluTanh(): this;
  silu(): this;
  softmax(): this;
  logSoftmax(): this;
  /** The magnitude of complex numbers: real parts in the first half, imaginary in the second. */
  magnitude(): this;
  flatten(): this;
  unflatten(channels: number, length: number): this;
  /** The identity in inference. */
  dropout(p?: number): this;
  /** Names the value at this place. The input has the name `input`. */
  name(name: string): this;
  /** Goes back to a named value. */
  from(name: string): this;
  /** Joins the features of named values. */
  concat(...names: string[]): this;
  add(name: string): this;
  mul(name: string): this;
  /** Attends the memory that {@link Network.decoder} gets. */
  attention(options: AttentionOptions): this;
  /** Continues with the hidden state before this step of the module under a prefix. */
  hidden(prefix: string): this;
  /** Loads the weights under a prefix onto a device. */
  load(
    device: Device,
    weights: StateDict,
    prefix?: string,
    options?: LoadOptions,
  ): Promise<Network>;
}

/** A network with its weights on a device. Calls may overlap. */
export class Network implements Owned {
  private constructor();
  /** The shape of a step. */
  readonly inputShape: number[];
  readonly outputShape: number[];
  /** Runs the network from zero states: `[T, B, ·]`, `[B, T, ·]` with `batchFirst`, or `[T, ·]`. */
  forward(input: Float32Array, shape: Counts): Promise<Tensor>;
  /** Runs a network of tokens: `[T, B]`, `[B, T]` with `batchFirst`, or `[T]`. */
  forwardTokens(tokens: Counts, shape: Counts): Promise<Tensor>;
  stream(batch?: number): NetworkStream;
  /** Opens a stream of a network that attends a memory, `[M, B, F]`. */
  decoder(memory: Tensor, lengths?: Counts): NetworkStream;
  free(): void;
}

/** Calls of a network that continue from each other, in the order in which they are made. */
export class NetworkStream implements Owned {
  private constructor();
  readonly batch: number;
  /** The input steps that make one step of the output. */
  readonly stride: number;
  forward(input: Float32Array, shape: Counts): Promise<Tensor>;
  forwardTokens(tokens: Counts, shape: Counts): Promise<Tensor>;
  /** The likeliest tokens after a start token of each row, each from the one before it. */
  greedy(start: Counts, count: number): Promise<number[][]>;
  /** The states of all modules: `[B, W]`. */
  state(): Promise<Tensor>;
  setState(state: Tensor): Promise<void>;
  reset(): Promise<void>;
  free(): void;
}

/** Options of generating text. */
export interface GenerateOptions {
  /** The divisor of the logits; 0 takes the likeliest token. 1 by default. */
  temperature?: number;
  /** The number of likeliest tokens to draw from; 0 for all. */
  topK?: number;
  /** The share of probability to draw from. */
  topP?: number;
  /** The seed of the random numbers. A seed gives the same text on every device. */
  seed?: number | bigint;
  /** Tokens of one submission. They arrive together. 32 by default. */
  chunk?: number;
  /** The number of tokens; without it the text goes on as long as the caller asks. */
  tokens?: number;
  /** The token that ends the text. */
  stop?: number;
  /** Ends the text; the loop fails with the signal's reason. */
  signal?: AbortSignal;
}

/** A token and its text. The text is empty if the file has no vocabulary. */
export interface Token {
  token: number;
  text: string;
}

/** The network of PyTorch's word-language-model example, with the vocabulary of its file. */
export class LanguageModel implements Owned {
  private constructor();
  /** Loads the model under a prefix, and the vocabulary in the metadata of the file. */
  static load(
    device: Device,
    weights: StateDict,
    prefix?: string,
    options?: LoadOptions,
  ): Promise<LanguageModel>;
  readonly vocabularySize: number;
  readonly hasVocabulary: boolean;
  encode(text: string): Uint32Array;
  decode(tokens: Counts): string;
  /** The logits of each token of a text: `[T, V]`. */
  forward(tokens: Counts): Promise<Tensor>;
  /**
   * Generates text after a prompt: `for await (const { text } of model.generate("ROMEO:"))`.
   * Errors come from the loop. Leaving the loop ends the text.
   */
  generate(
    prompt: string | Counts,
    options?: GenerateOptions,
  ): AsyncGenerator<Token, void, undefined>;
  free(): void;
}

/** Hears of the progress of a call: the parts done, of all, and the name of the next. */
export type Progress = (done: number, of: number, name: string) => void;

/** Judging a device. Reports have the fields of the program's JSON: `wgpu-rnn verify`, `bench`. */
export const diagnostics: {
  /** Runs case files (rnncase/1). */
  verify(
    device: Device,
    cases: readonly { name: string; bytes: ArrayBuffer | Uint8Array }[],
    progress?: Progress,
  ): Promise<VerifyReport>;
  /** Runs each kernel against its twin on the CPU, from the same inputs. The CPU has no kernels. */
  lockstep(device: Device, progress?: Progress): Promise<KernelReport[]>;
  /** Runs networks of every kind and schedule against the definition in f64. */
  selfTest(device: Device, progress?: Progress): Promise<VerifyReport>;
  /** Measures the constants of a device, which `Device.open` takes. */
  calibrate(device: Device, progress?: Progress): Promise<Calibration>;
  /** Times forward passes next to the roofline. */
  bench(device: Device, options?: BenchOptions, progress?: Progress): Promise<BenchReport>;
};

/** The measured constants of a device. */
export type Calibration = Record<string, unknown>;

/** The result of cases on a device. */
export interface VerifyReport {
  results: {
    device: string;
    cases: {
      id: string;
      path: string;
      status: "pass" | "fail" | "unsupported" | "error";
      reason: string | null;
      max_abs: number | null;
      max_rel: number | null;
      worst: { tensor: string; index: number[] } | null;
      atol: number | null;
      rtol: number | null;
    }[];
    passed: number;
    failed: number;
    unsupported: number;
    errors: number;
    worst_share: number;
    rounding: number;
  }[];
}

/** The comparison of a kernel with its twin. */
export interface KernelReport {
  kernel: string;
  dispatches: number;
  values: number;
  maxAbs: number | null;
  agrees: boolean;
  worst: string | null;
}

/** Options of a benchmark. */
export interface BenchOptions {
  /** The shapes of a suite; `"quick"` by default. */
  suite?: "quick" | "standard" | "scaling" | "peers" | "kernels";
  /** Other shapes, with the names of a report's rows. */
  shapes?: readonly {
    name?: string;
    kind?: Kind;
    input_size?: number;
    hidden_size?: number;
    num_layers?: number;
    bidirectional?: boolean;
    seq_len?: number;
    batch?: number;
  }[];
  /** The approximate time for one shape. 10 by default. */
  seconds?: number;
  /** The most timed runs of a shape. 50 by default. */
  repetitions?: number;
}

/** The result of a benchmark. */
export interface BenchReport {
  machine: Record<string, string>;
  command: string;
  started: string;
  planned: number;
  complete: boolean;
  calibrations: Calibration[];
  rows: Record<string, unknown>[];
  skipped: { device: string; name: string; schedule_option: string; reason: string }[];
  means: Record<string, unknown>[];
  peers: Record<string, unknown>[];
}
