// Times wgpu-rnn and onnxruntime-web in one browser, or in Node, at the same shapes.

import { definition, network, onnxFile, safetensors } from "./network.js";

/** Small, middle and large networks of the kinds that onnxruntime-web has on WebGPU. */
export const SHAPES = ["lstm", "gru"].flatMap((kind) => [
  [35, 2, 100, 20], [100, 1, 128, 128], [100, 8, 256, 256],
].map(([seq_len, batch, input_size, hidden_size]) => ({
  kind, input_size, hidden_size, num_layers: 1, bidirectional: false, seq_len, batch,
})));

/** Larger differences from the definition are errors. */
const TOLERANCE = 1e-5;

/** The most timed rounds, and the least rounds before them. */
const ROUNDS = 50;
const WARM = 4;

/** The systems by backend: each makes a pass of a network, from host memory to host memory. */
function systems({ rnn, ort }, calibrate) {
  const opened = (device) => ({ device, name: device.name, driver: device.driver });
  return [
    {
      system: "wgpu-rnn",
      async open(backend) {
        if (backend === "wasm") return opened(await rnn.Device.open("cpu"));
        const device = await rnn.Device.open("webgpu");
        const calibration = calibrate && await rnn.diagnostics.calibrate(device);
        return opened(calibration ? await rnn.Device.open("webgpu", { calibration }) : device);
      },
      async build({ device }, net) {
        const module = rnn.Rnn.load(device, rnn.StateDict.parse(safetensors(net)));
        const { seq_len, batch, input_size } = net.shape;
        return {
          run: async () => (await module.forward(net.input, [seq_len, batch, input_size]))
            .output.data,
          schedule: /[a-z_]+(?=:)/.exec(module.explain(seq_len, batch))?.[0],
          release: () => module.free(),
        };
      },
    },
    {
      system: `onnxruntime-web ${ort.env.versions.web}`,
      async open(backend) {
        return { backend, name: backend === "webgpu" ? "webgpu" : "cpu", driver: "" };
      },
      async build({ backend }, net) {
        const session = await ort.InferenceSession.create(onnxFile(net), {
          executionProviders: [backend],
        });
        const { seq_len, batch, input_size } = net.shape;
        return {
          async run() {
            const X = new ort.Tensor("float32", net.input, [seq_len, batch, input_size]);
            return (await session.run({ X })).Y.data;
          },
          release: () => session.release(),
        };
      },
    },
  ];
}

/** The largest difference of an output from the definition. */
function difference(output, wanted) {
  if (output.length !== wanted.length) {
    throw new Error(`an output of ${output.length} values, expected ${wanted.length}`);
  }
  // NaN stays.
  const worst = (most, value, at) => {
    const off = Math.abs(value - wanted[at]);
    return off <= most ? most : off;
  };
  return output.reduce(worst, 0);
}

/** The value that a share of the sorted times does not exceed. */
const rank = (times, share) => times[Math.max(1, Math.ceil(times.length * share)) - 1];

/** The row of a shape on a system, in the form of `wgpu-rnn bench --json`. */
function row({ system, device }, backend, { shape }, { pass, times, worst }) {
  times.sort((a, b) => a - b);
  const median = rank(times, 0.5);
  return {
    system, device: device.name, backend, driver: device.driver, ...shape, dtype: "f32",
    schedule: pass.schedule ?? "",
    wall_us: { median, min: times[0], p95: rank(times, 0.95) }, gpu_us: null,
    us_per_step: median / shape.seq_len,
    max_abs_vs_f64: worst, agrees: worst <= TOLERANCE, compared_steps: shape.seq_len,
    repetitions: times.length,
  };
}

/**
 * Measures each shape on each system. The systems take turns, pass by pass, so that a disturbance
 * of the machine affects both.
 *
 * @param modules `rnn` and `ort`, the modules of both systems
 * @param options `backends`, of `webgpu` and `wasm`; `calibrate`, whether rates of the adapter are
 *   measured first, as for `wgpu-rnn bench`; `shapes`; `seconds` for each shape
 * @param progress called with each row
 */
export async function measure(modules, options, progress) {
  const { backends, calibrate, shapes = SHAPES, seconds } = options;
  await modules.rnn.default();
  const rows = [];
  for (const backend of backends) {
    const all = systems(modules, calibrate);
    for (const system of all) system.device = await system.open(backend);
    for (const shape of shapes) {
      const net = network(shape);
      const wanted = definition(net);
      const runs = [];
      for (const { build, device } of all) {
        const pass = await build(device, net);
        runs.push({ pass, times: [], worst: difference(await pass.run(), wanted) });
      }
      // Browsers compile a module again once it has run for a while.
      const begin = performance.now();
      const elapsed = () => (performance.now() - begin) / 1000;
      for (let round = 0; round < WARM || elapsed() < seconds / 4; round++) {
        for (const { pass } of runs) await pass.run();
      }
      for (let round = 0; round < 2 || (round < ROUNDS && elapsed() < seconds); round++) {
        for (const { pass, times } of runs) {
          const start = performance.now();
          await pass.run();
          times.push((performance.now() - start) * 1000);
        }
      }
      for (const [at, run] of runs.entries()) {
        rows.push(row(all[at], backend, net, run));
        progress?.(rows.at(-1));
        await run.pass.release();
      }
    }
  }
  return rows;
}

/** The ratios of the other system's times to ours, for each shape, and their geometric means. */
export function ratios(rows) {
  const lines = [];
  for (const backend of new Set(rows.map((row) => row.backend))) {
    const of = rows.filter((row) => row.backend === backend);
    const found = [];
    for (let at = 0; at + 1 < of.length; at += 2) {
      const [ours, theirs] = [of[at], of[at + 1]];
      const [median, min] = ["median", "min"].map((q) => theirs.wall_us[q] / ours.wall_us[q]);
      found.push([median, min]);
      const { kind, seq_len, batch, input_size, hidden_size } = ours;
      const ms = ({ wall_us: { median, min } }) =>
        `${(median / 1000).toFixed(3)} (min ${(min / 1000).toFixed(3)})`;
      lines.push(`${backend} ${kind} ${[seq_len, batch, input_size, hidden_size]}: ${ms(ours)} ms, `
        + `${theirs.system} ${ms(theirs)} ms: ${median.toFixed(2)} × (min ${min.toFixed(2)})`);
    }
    const mean = (at) =>
      Math.exp(found.reduce((sum, pair) => sum + Math.log(pair[at]), 0) / found.length).toFixed(2);
    lines.push(`${backend}: geometric mean ${mean(0)} × (of minima ${mean(1)})`);
  }
  return lines;
}
