// Compiles kernels with Tint, Chromium's compiler of WGSL, without a GPU: on Dawn's null backend.
//
// Reads from stdin a list of { wgsl, entry, features, bindings, specialisations }. A binding is a
// GPUBufferBindingLayout, or null where a number has none. A specialisation is a list of constants,
// each a name and a value. Devices have WebGPU's default limits.
//
// Writes a list of { messages, errors }: the messages of each text, and the error of each
// specialisation, null where its pipeline builds. The list is the last line of stdout, where Dawn
// prints warnings.

import { json } from 'node:stream/consumers';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const gpu = create(['backend=null']);
const devices = new Map();   // by their features

async function open(features) {
  const adapter = await gpu.requestAdapter();
  const device = await adapter.requestDevice({ requiredFeatures: features });
  device.addEventListener('uncapturederror', ({ error }) => {
    console.error(`outside every scope: ${error.message}`);
    process.exit(1);
  });
  return device;
}

function opened(features) {
  const key = features.join();
  if (!devices.has(key)) devices.set(key, open(features));
  return devices.get(key);
}

async function compiled({ wgsl, entry, features, bindings, specialisations }) {
  const device = await opened(features);
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: wgsl });
  const entries = bindings.flatMap((buffer, binding) =>
    buffer ? [{ binding, visibility: GPUShaderStage.COMPUTE, buffer }] : []);
  const layout = device.createPipelineLayout({
    bindGroupLayouts: [device.createBindGroupLayout({ entries })],
  });
  const refusal = await device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  const texts = messages.map((one) => `${one.type}, line ${one.lineNum}: ${one.message}`);
  if (refusal) return { messages: [...texts, refusal.message], errors: [] };
  const build = (pairs) => {
    const constants = Object.fromEntries(pairs);
    const compute = { module, entryPoint: entry, constants };
    const pipeline = device.createComputePipelineAsync({ layout, compute });
    return pipeline.then(() => null, (error) => error.message);
  };
  const errors = specialisations.map(build);
  return { messages: texts, errors: await Promise.all(errors) };
}

const answers = [];
for (const kernel of await json(process.stdin)) answers.push(await compiled(kernel));
// Dawn's threads would keep the process alive.
process.stdout.write(`\n${JSON.stringify(answers)}`, () => process.exit(0));
