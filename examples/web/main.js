// The page: starts its three parts and says what runs here.

import { $, sentence } from "./dom.js";
import { cpu, gpu, machines } from "./machine.js";
import * as examine from "./examine.js";
import * as file from "./file.js";
import * as write from "./write.js";

function describe() {
  if (machines.some((machine) => machine.state === "opening")) {
    $("status").textContent = "Opening the devices …";
    return;
  }
  const on = gpu.ready ? `WebGPU runs on ${gpu.about()}.` : "";
  const software = gpu.ready && gpu.adapter.software
    ? " It shows that the numbers are right, and nothing of the speed of a GPU." : "";
  const without = gpu.ready ? "" : "WebGPU does not run here; the CPU does.";
  $("status").textContent = cpu.ready || gpu.ready ? `${on}${software}${without}`
    : `Nothing runs here. ${cpu.message}`;
}

for (const machine of machines) machine.addEventListener("change", describe);
describe();
for (const part of [examine, file, write]) {
  Promise.resolve(part.start()).catch((error) => { $("status").textContent = sentence(error); });
}
