// The network of a shape: its weights, its input, its files, and its output by definition.
//
// A shape has the names of the rows of `wgpu-rnn bench`. Its networks have one layer and one
// direction: onnxruntime-web runs no others on WebGPU.

import { onnx } from "./onnx.js";

/** The gates in PyTorch's order, and their places in ONNX's. */
export const GATES = { lstm: [0, 2, 3, 1], gru: [1, 0, 2] };

/** Numbers in ±`bound`: the same in every run. */
function numbers(count, bound) {
  const value = (_, i) => (Math.imul(i + 1, 0x9e3779b1) / 2 ** 31) * bound;
  return Float32Array.from({ length: count }, value);
}

/** The weights of a shape, with PyTorch's names and order, and its input. */
export function network(shape) {
  const { kind, input_size: features, hidden_size: hidden, seq_len: steps, batch } = shape;
  const rows = GATES[kind].length * hidden;
  const bound = hidden ** -0.5;
  const weights = {
    weight_ih_l0: { shape: [rows, features], data: numbers(rows * features, bound) },
    weight_hh_l0: { shape: [rows, hidden], data: numbers(rows * hidden, bound).reverse() },
    bias_ih_l0: { shape: [rows], data: numbers(rows, bound) },
    bias_hh_l0: { shape: [rows], data: numbers(rows, bound).reverse() },
  };
  return { shape, weights, input: numbers(steps * batch * features, 1) };
}

/** The weights as a safetensors file. */
export function safetensors({ weights }) {
  const header = {};
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(weights)) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, (end += data.byteLength)] };
  }
  let text = JSON.stringify(header);
  // The values begin at a multiple of 8.
  text = text.padEnd(Math.ceil(text.length / 8) * 8);
  const file = new Uint8Array(8 + text.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(new TextEncoder().encode(text), 8);
  for (const [name, { data }] of Object.entries(weights)) {
    file.set(new Uint8Array(data.buffer), 8 + text.length + header[name].data_offsets[0]);
  }
  return file;
}

/** The network as an ONNX file: from X, `[T, B, I]`, to Y, `[T, 1, B, H]`. */
export function onnxFile({ shape, weights }) {
  const { kind, input_size: features, hidden_size: hidden, seq_len: steps, batch } = shape;
  const gates = GATES[kind];
  // ONNX's gate g is PyTorch's gate of the same name.
  const ordered = ({ data }) => {
    const size = data.length / gates.length;
    const all = new Float32Array(data.length);
    gates.forEach((to, from) => all.set(data.subarray(from * size, (from + 1) * size), to * size));
    return all;
  };
  const rows = gates.length * hidden;
  const bias = new Float32Array(2 * rows);
  bias.set(ordered(weights.bias_ih_l0));
  bias.set(ordered(weights.bias_hh_l0), rows);
  return onnx({
    operator: kind.toUpperCase(),
    // The GRU of PyTorch; the default of ONNX is another.
    integers: kind === "gru" ? { hidden_size: hidden, linear_before_reset: 1 }
      : { hidden_size: hidden },
    tensors: {
      W: { shape: [1, rows, features], data: ordered(weights.weight_ih_l0) },
      R: { shape: [1, rows, hidden], data: ordered(weights.weight_hh_l0) },
      B: { shape: [1, 2 * rows], data: bias },
    },
    input: [steps, batch, features],
    output: [steps, 1, batch, hidden],
  });
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** Row `r` of a matrix, times a vector. */
function product(matrix, r, vector, start, count) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += matrix[r * count + i] * vector[start + i];
  return sum;
}

/** The outputs of all steps by PyTorch's definition, in f64: `[T, B, H]`. */
export function definition({ shape, weights, input }) {
  const { kind, input_size: features, hidden_size: hidden, seq_len: steps, batch } = shape;
  const [w, r, b, c] = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    .map((name) => weights[name].data);
  const output = new Float64Array(steps * batch * hidden);
  const cells = new Float64Array(batch * hidden);
  let state = new Float64Array(batch * hidden);
  for (let t = 0; t < steps; t++) {
    const next = output.subarray(t * batch * hidden, (t + 1) * batch * hidden);
    for (let row = 0; row < batch; row++) {
      for (let unit = 0; unit < hidden; unit++) {
        const at = row * hidden + unit;
        const x = (g) => b[g * hidden + unit]
          + product(w, g * hidden + unit, input, (t * batch + row) * features, features);
        const h = (g) => c[g * hidden + unit]
          + product(r, g * hidden + unit, state, row * hidden, hidden);
        if (kind === "lstm") {
          const [i, f, g, o] = [0, 1, 2, 3].map((gate) => x(gate) + h(gate));
          cells[at] = sigmoid(f) * cells[at] + sigmoid(i) * Math.tanh(g);
          next[at] = sigmoid(o) * Math.tanh(cells[at]);
        } else {
          const z = sigmoid(x(1) + h(1));
          const n = Math.tanh(x(2) + sigmoid(x(0) + h(0)) * h(2));
          next[at] = (1 - z) * n + z * state[at];
        }
      }
    }
    state = next;
  }
  return output;
}
