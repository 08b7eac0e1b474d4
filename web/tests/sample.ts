// The types of a small program, which `tsc` checks and nobody runs.

import init, {
  adapters,
  Device,
  LanguageModel,
  Rnn,
  RnnError,
  Sequential,
  StateDict,
} from "wgpu-rnn";
import type { AdapterFacts, State, Tensor } from "wgpu-rnn";
import { connect } from "wgpu-rnn/client.js";
import type { Connection } from "wgpu-rnn/client.js";

export async function page(bytes: ArrayBuffer, input: Float32Array): Promise<Tensor> {
  await init(undefined, { "networks.wasm": new URL("https://example.org/networks.wasm") });
  const found: AdapterFacts[] = await adapters();
  const device = await Device.open(found.length > 0 ? "webgpu" : "cpu", {
    limits: { maxBufferSize: 1e6 },
  });
  const weights = StateDict.parse(bytes, { key: "model" });
  const lstm = Rnn.load(device, weights, "encoder.", { batchFirst: true, weights: "f16" });
  const { output, state } = await lstm.forward(input, [1, 2, 3], { lengths: [2] });
  const stream = lstm.stream();
  await stream.setState(state satisfies State);
  const network = await new Sequential(3)
    .conv1d("conv.", { padding: "causal" })
    .relu()
    .name("x")
    .rnn("gru.")
    .concat("x")
    .linear("fc.")
    .load(device, weights);
  await network.forward(output.data, output.shape);
  // @ts-expect-error: an unknown option
  lstm.forward(input, [1], { length: [1] });
  // @ts-expect-error: a plain array
  lstm.forward([1, 2], [1]);
  // @ts-expect-error: no public constructor
  new Device();
  const model = await LanguageModel.load(device, weights);
  for await (const { token, text } of model.generate("A", {
    seed: 3n,
    signal: AbortSignal.timeout(9),
  })) {
    console.log(token.toFixed(), text.length);
  }
  try {
    await stream.reset();
  } catch (error) {
    if (error instanceof RnnError && error.kind === "DeviceLost") throw error;
  }
  return stream.forward(input, [1, 1, 3]);
}

export async function worker(bytes: ArrayBuffer, input: Float32Array): Promise<Tensor> {
  const rnn: Connection = await connect();
  const device = await rnn.Device.open("auto");
  const name: string = device.name;
  const lost: boolean = await device.isLost;
  const weights = await rnn.StateDict.parse(bytes);
  const shape: number[] | undefined = await weights.shape(name);
  const gru = await rnn.Rnn.load(device, weights, "gru.");
  const { output } = await gru.forward(input, shape ?? [1, 3]);
  const stream = await gru.stream(lost ? 1 : 2);
  await stream.reset();
  const network = await new rnn.Sequential(3).relu().linear("fc.").load(device, weights, "");
  const model = await rnn.LanguageModel.load(device, weights);
  const tokens: Uint32Array = await model.encode("a");
  for await (const { text } of model.generate(tokens)) console.log(text);
  // @ts-expect-error: an object of the page, not of the worker
  await rnn.Rnn.load(await Device.open(), weights);
  rnn.close();
  return network.forward(output.data, output.shape);
}
