// "Your file": a file of weights is inspected, and its recurrent modules run on both devices.

import {
  $, bytes, count, facts, h, name as code, notice, painted, scientific, sentence, shape, table,
  time,
} from "./dom.js";
import { cpu, machines } from "./machine.js";
import { shipped } from "./model.js";

/** The number of timed runs, after one that builds pipelines. */
const RUNS = 3;

/** A safetensors or torch.save file of more bytes does not fit a page. */
const LARGEST = 2 ** 30;

const isRecurrent = ({ module, error }) => !error && /^(RNN|LSTM|GRU)\(/.test(module ?? "");

/** Numbers in [-1, 1) that depend on the seed alone (a 32-bit linear congruential generator). */
function drawn(length, seed) {
  const values = new Float32Array(length);
  let state = seed >>> 0;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[at] = state / 2 ** 31 - 1;
  }
  return values;
}

const largestDifference = (one, other) =>
  one.reduce((worst, value, at) => Math.max(worst, Math.abs(value - other[at])), 0);

const say = (...content) => $("file-error").replaceChildren(...content);

/** Reads a file: shows what is in it, or why it can't be read. */
async function read({ name, bytes: content }) {
  say();
  const report = $("file-report");
  report.replaceChildren(h("p", { role: "status" }, `Reading ${name} …`));
  await painted();
  try {
    await cpu.settled;
    const weights = await cpu.rnn.StateDict.parse(content, { name });
    show(name, content, await weights.inspect());
    await weights.free();
  } catch (error) {
    report.replaceChildren();
    say(notice("bad", sentence(error)));
  }
}

function show(name, content, inspected) {
  const { modules, tensors, metadata } = inspected;
  const values = tensors.reduce(
    (sum, tensor) => sum + tensor.shape.reduce((product, size) => product * size, 1), 0);
  const recurrent = modules.filter(isRecurrent);
  $("file-report").replaceChildren(
    h("h3", { tabindex: -1, id: "file-name" }, name),
    facts([
      ["Type", inspected.type + (inspected.key ? `, key ${inspected.key}` : "")],
      ["Size", bytes(content.byteLength)],
      ["Values", `${count(values)} in ${count(tensors.length)} tensors`],
    ]),
    inspected.case ? verifier(name, content, inspected.case) : "",
    modules.length ? table("Modules", [
      { title: "Prefix" }, { title: "Module" }, { title: "Remark", wide: true },
    ], modules.map((one) => [
      one.prefix ? code(one.prefix) : "(none)", one.module ?? one.error,
      one.unused ?? one.assumed.join("; "),
    ])) : "",
    recurrent.length ? runner(name, content, recurrent)
      : inspected.case ? "" : notice("plain", "The file has no recurrent module to run."),
    h("details", {}, h("summary", {}, `${count(tensors.length)} tensors`), table("Tensors", [
      { title: "Name" }, { title: "Type" }, { title: "Shape", number: true },
    ], tensors.map((one) => [code(one.name), one.dtype, shape(one.shape)]))),
    Object.keys(metadata).length ? h("details", {}, h("summary", {}, "Metadata"),
      facts(Object.entries(metadata).map(([key, value]) => [key, h("code", {}, value)]))) : "");
}

/** The verdict of each device about a case file: a network with its input and expected output. */
function verifier(name, content, { id, module }) {
  const verdicts = h("ul", { id: "case-verdicts", role: "status" });
  const verify = async (machine) => {
    await machine.settled;
    if (!machine.ready) return;
    const cases = [{ name, bytes: content }];
    try {
      const report = await machine.run(() =>
        machine.rnn.diagnostics.verify(machine.device, cases));
      const [{ status, reason, max_abs: worst }] = report.results[0].cases;
      const passed = status === "pass";
      verdicts.append(h("li", { class: passed ? "good" : "bad" }, passed
        ? `✓ ${machine.title}: passed; the largest difference is ${scientific(worst)}`
        : `✗ ${machine.title}: ${status}; ${reason ?? scientific(worst)}`));
    } catch (error) {
      verdicts.append(h("li", { class: "bad" }, `✗ ${machine.title}: ${sentence(error)}`));
    }
  };
  for (const machine of machines) verify(machine);
  return h("div", {}, h("p", {}, `Case ${id}: ${module ?? "a network"}`), verdicts);
}

/** The form that runs a module, and its result. The first module runs at once. */
function runner(name, content, recurrent) {
  const select = h("select", { id: "module" }, recurrent.map((one) =>
    h("option", { value: one.prefix }, `${one.prefix || "(no prefix)"} ${one.module}`)));
  const number = (id, value, max) =>
    h("input", { id, type: "number", min: 1, max, step: 1, value, required: true });
  const result = h("div", { id: "run-result" });
  const go = h("button", {}, "Run");
  const field = (label, input) => h("p", { class: "field" },
    h("label", { for: input.id }, label), input);
  const steps = number("steps", 16, 10_000);
  const rows = number("rows", 2, 1000);
  const run = async () => {
    go.disabled = true;
    try {
      await runModule(name, content, select.value, steps.valueAsNumber, rows.valueAsNumber, result);
    } finally {
      go.disabled = false;
    }
  };
  const form = h("form", { class: "runner", onsubmit: (event) => {
    event.preventDefault();
    run();
  } }, h("p", { class: "field wide" }, h("label", { for: "module" }, "Module"), select),
  field("Time steps", steps), field("Rows", rows), h("p", { class: "actions" }, go));
  run();
  return h("div", {}, form, result);
}

/** Runs one module on drawn input on each device. */
async function runModule(name, content, prefix, steps, rows, result) {
  result.replaceChildren(h("div", { class: "progress" },
    h("progress", { "aria-label": "The module runs" }), h("span", { role: "status" }, "Running")));
  await painted();
  const runs = [];
  const troubles = [];
  for (const machine of machines) {
    await machine.settled;
    if (!machine.ready) continue;
    try {
      runs.push(await machine.run(() => runOn(machine, name, content, prefix, steps, rows)));
    } catch (error) {
      troubles.push(notice("bad", `${machine.title}: ${sentence(error)}`));
    }
  }
  result.replaceChildren(...troubles);
  if (!runs.length) return;
  result.append(table("Runs", [
    { title: "Device" }, { title: "First run", number: true, wide: true },
    { title: "Run", number: true }, { title: "Largest output", number: true, wide: true },
  ], runs.map((run) => [run.title, time(run.first), time(run.median),
    run.output.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0).toFixed(6)])));
  const [{ output, input }] = runs;
  result.append(h("p", { class: "verdict", id: "run-verdict", role: "status" },
    `Input ${shape(input)}, output ${shape(output.shape)}. `, runs.length < 2
      ? "One device ran: nothing to compare."
      : `Largest difference between the devices: ${
        scientific(largestDifference(runs[0].output.data, runs[1].output.data))}.`));
}

async function runOn(machine, name, content, prefix, steps, rows) {
  const weights = await machine.rnn.StateDict.parse(content, { name });
  const net = await machine.rnn.Rnn.load(machine.device, weights, prefix);
  try {
    const { inputSize } = await net.config;
    const input = [steps, rows, inputSize];
    const values = drawn(steps * rows * inputSize, 1);
    const times = [];
    let output;
    for (let run = 0; run <= RUNS; run += 1) {
      const started = performance.now();
      ({ output } = await net.forward(values, input));
      times.push(performance.now() - started);
      await painted();
    }
    const [first, ...rest] = times;
    const median = rest.sort((one, other) => one - other)[Math.floor(RUNS / 2)];
    return { title: machine.title, input, output, first, median };
  } finally {
    await net.free();
    await weights.free();
  }
}

async function open(file) {
  if (!file) return;
  if (file.size > LARGEST) {
    $("file-report").replaceChildren();
    say(notice("bad", `${file.name} has ${bytes(file.size)}: this page reads files up to ${
      bytes(LARGEST)}. The program reads larger ones.`));
    return;
  }
  try {
    await read({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
  } catch (error) {
    say(notice("bad", `${file.name} could not be read: ${sentence(error)}`));
  }
}

export async function start() {
  const drop = $("drop");
  // A file that misses the box must not take the page's place.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => event.preventDefault());
  }
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    open(event.dataTransfer.files[0]);
  });
  $("weights").addEventListener("change", (event) => open(event.target.files[0]));
  $("shipped").addEventListener("click", async () => {
    try {
      await read(await shipped());
    } catch (error) {
      say(notice("bad", sentence(error)));
    }
  });
  await cpu.settled;
  $("weights").disabled = $("shipped").disabled = !cpu.ready;
}
