// "Your device": facts, self-test, kernels against their definition, and measured shapes.

import {
  $, bytes, count, download, facts, h, name, notice, painted, scientific, sentence, short, table,
} from "./dom.js";
import { machines, trouble } from "./machine.js";
import { Axis } from "./plot.js";

/** Shapes that a software adapter runs in seconds. */
const SMALL = [
  { kind: "gru", seq_len: 35, batch: 2, input_size: 100, hidden_size: 20 },
  { kind: "lstm", seq_len: 35, batch: 2, input_size: 100, hidden_size: 20 },
  { kind: "gru", seq_len: 100, batch: 1, input_size: 128, hidden_size: 128 },
  { kind: "lstm", seq_len: 100, batch: 1, input_size: 128, hidden_size: 128 },
];

/** Shapes for GPUs and for the CPU. */
const LARGE = [
  { kind: "lstm", seq_len: 100, batch: 8, input_size: 256, hidden_size: 256 },
  { kind: "lstm", seq_len: 25, batch: 64, input_size: 256, hidden_size: 256 },
];

/** The limit of time for each shape. Tests of the page shorten it. */
const SECONDS = Number(new URLSearchParams(location.search).get("seconds")) || 1;

const selected = () => {
  const kind = new FormData($("examine-form")).get("device");
  return machines.find((machine) => machine.kind === kind);
};

let running = false;

function showFacts() {
  const machine = selected();
  $("examine-go").disabled = running || !machine.ready;
  if (!machine.ready) {
    const problem = trouble(machine);
    $("facts").replaceChildren(problem ? notice("plain", problem) : "");
    return;
  }
  const { adapter, device } = machine;
  const known = (value) => value || "not given by the browser";
  const list = machine.kind === "cpu"
    ? [["Engine", "WebAssembly with SIMD, one thread"],
      ["Threads of this machine", String(navigator.hardwareConcurrency ?? "–")]]
    : [["Adapter", known(machine.name)], ["Vendor", known(adapter.vendor)],
      ["Architecture", known(adapter.architecture)], ["Driver", known(adapter.driver)],
      ["Backend", known(adapter.backend)],
      ["Type", adapter.software ? "software adapter: it runs on the CPU" : known(adapter.type)]];
  $("facts").replaceChildren(facts(list));
  if (machine.kind === "gpu") showLimits(adapter, device);
}

async function showLimits(adapter, device) {
  const limits = Object.entries(await device.limits ?? adapter.limits);
  const write = (limit, value) => {
    if (!Number.isFinite(value)) return "none";
    return /size|memory/i.test(limit) ? bytes(value) : count(value);
  };
  $("facts").append(h("details", {}, h("summary", {}, "Limits and features"),
    table("Limits", [{ title: "Limit" }, { title: "Value", number: true }],
      limits.map(([limit, value]) => [name(limit), write(limit, value)])),
    h("p", {}, "Features: ", adapter.features.join(", ") || "none")));
}

/** The progress of an examination: a bar, the work in hand, and a sentence for each stage. */
class Progress {
  constructor() {
    this.bar = h("progress", { "aria-label": "Progress" });
    this.stage = h("span", { role: "status" });
    this.detail = h("span", { class: "detail" });
    $("examine-progress").replaceChildren(
      h("div", { class: "progress" }, this.bar, this.stage, this.detail));
  }

  /** Begins a stage. Returns the callback that shows how far it is. */
  async begin(stage) {
    this.bar.removeAttribute("value");
    this.stage.textContent = stage;
    this.detail.textContent = "";
    await painted();
    return (done, of, part) => {
      this.bar.max = of;
      this.bar.value = done;
      this.detail.textContent = `${done} of ${of} · ${part}`;
    };
  }

  end() { $("examine-progress").replaceChildren(); }
}

/** The number of passed cases, and those that did not pass. */
function showSelfTest(report) {
  const results = report.results;
  const sum = (key) => results.reduce((total, result) => total + (result[key] ?? 0), 0);
  const cases = results.flatMap((result) => result.cases);
  const bad = cases.filter((one) => one.status !== "pass");
  const worst = Math.max(...cases.map((one) => one.max_abs ?? 0));
  $("findings").append(h("h3", {}, "Self-test"),
    h("p", { class: `verdict ${bad.length ? "bad" : "good"}`, id: "self-test" },
      bad.length ? `✗ ${count(bad.length)} of ${count(cases.length)} networks disagree `
        : `✓ ${count(sum("passed"))} networks agree `,
      `with the definition in f64; the largest difference is ${scientific(worst)}.`));
  if (!bad.length) return;
  $("findings").append(table("Networks that did not pass", [
    { title: "Network" }, { title: "Result" }, { title: "Difference", number: true },
  ], bad.map((one) => [one.id, one.reason ?? one.status, scientific(one.max_abs)])));
}

/** Each kernel's largest difference from its twin, as numbers and as a plot. */
function showKernels(kernels) {
  if (!kernels.length) return;
  const bad = kernels.filter((kernel) => !kernel.agrees);
  const worst = Math.max(...kernels.map((kernel) => kernel.maxAbs));
  const axis = new Axis(kernels.map((kernel) => kernel.maxAbs));
  $("findings").append(h("h3", {}, "Kernels"),
    h("p", { class: `verdict ${bad.length ? "bad" : "good"}`, id: "kernels" },
      bad.length ? `✗ ${count(bad.length)} of ${count(kernels.length)} kernels disagree `
        : `✓ ${count(kernels.length)} kernels agree `,
      `with their twins on the CPU; the largest difference is ${scientific(worst)}.`),
    table("Largest difference of each kernel", [
      { title: "Kernel" },
      { title: "Dispatches", number: true, wide: true },
      { title: "Values", number: true, wide: true },
      { title: "Difference", number: true },
      { title: axis.head((value) => value.toExponential(0)), kind: "plot" },
    ], kernels.map((kernel) => [
      name(kernel.agrees ? kernel.kernel : `✗ ${kernel.kernel}`),
      count(kernel.dispatches), count(kernel.values), scientific(kernel.maxAbs),
      axis.strip([{ value: kernel.maxAbs, kind: "gpu" }]),
    ])));
}

/** The time of each shape, with the roofline where it is known. */
function showTimes(report, kind) {
  const { rows, skipped } = report;
  const floors = rows.some((row) => row.floor_us_per_step);
  const axis = new Axis(rows.flatMap((row) => [row.us_per_step, row.floor_us_per_step]));
  const disagree = rows.filter((row) => !row.agrees);
  $("findings").append(h("h3", {}, "Time"),
    h("p", { class: `verdict ${disagree.length ? "bad" : "good"}`, id: "times" },
      disagree.length ? `✗ ${count(disagree.length)} networks disagree with the definition.`
        : `✓ ${count(rows.length)} measured networks agree with the definition.`,
      floors ? h("span", { class: "legend" }, legend(kind, "measured"), legend("floor", "roofline"))
        : null),
    table("Time of a step in microseconds; sizes are time, batch, input, hidden", [
      { title: "Network" },
      { title: "Schedule", wide: true },
      { title: "Run, ms", number: true, wide: true },
      { title: "Step, µs", number: true },
      ...(floors ? [{ title: "Roofline, µs", number: true, wide: true }] : []),
      { title: "Error", number: true, wide: true },
      { title: axis.head((value) => (value < 1 ? String(value) : count(value))), kind: "plot" },
    ], rows.map((row) => [
      `${row.kind} ${row.seq_len}, ${row.batch}, ${row.input_size}, ${row.hidden_size}`,
      row.schedule, short(row.wall_us.median / 1000), short(row.us_per_step),
      ...(floors ? [short(row.floor_us_per_step ?? NaN)] : []),
      scientific(row.max_abs_vs_f64),
      axis.strip([{ value: row.floor_us_per_step ?? NaN, kind: "floor" },
        { value: row.us_per_step, kind }]),
    ])));
  if (skipped?.length) {
    $("findings").append(h("p", {},
      `${count(skipped.length)} networks were skipped: they take longer than ${SECONDS} s here.`));
  }
}

function legend(kind, word) {
  const strip = new Axis([1, 10]).strip([{ value: 10 ** 0.5, kind }]);
  strip.classList.add("key");
  return h("span", {}, strip, word);
}

/** Runs every stage on one machine. Findings and downloads appear as they arrive. */
async function examine(machine) {
  const { rnn } = machine;
  const { diagnostics } = rnn;
  const progress = new Progress();
  const files = h("p", { class: "downloads" }, "Download: ");
  const offer = (title, value) => files.append(download(`${title}.json`, value), " ");
  $("findings").replaceChildren();
  try {
    let callback = await progress.begin("Networks against the definition");
    const verified = await diagnostics.selfTest(machine.device, callback);
    showSelfTest(verified);
    $("findings").append(files);
    offer("verify", verified);

    callback = await progress.begin("Kernels against their twins on the CPU");
    const kernels = await diagnostics.lockstep(machine.device, callback);
    showKernels(kernels);
    if (kernels.length) offer("kernels", kernels);

    let { device } = machine;
    if ($("calibrate").checked) {
      callback = await progress.begin("The machine’s constants, for the roofline");
      const calibration = await diagnostics.calibrate(device, callback);
      const selector = machine.kind === "gpu" ? "webgpu" : "cpu";
      device = await rnn.Device.open(selector, { calibration, selfTest: false });
    }
    callback = await progress.begin("Time of networks");
    const software = machine.kind === "gpu" && machine.adapter.software;
    const options = { shapes: software ? SMALL : [...SMALL, ...LARGE], seconds: SECONDS };
    const measured = await diagnostics.bench(device, options, callback);
    showTimes(measured, machine.kind);
    offer("bench", measured);
    $("findings").append(files);
  } finally {
    progress.end();
  }
}

async function begin() {
  if (running) return;
  running = true;
  $("examine-go").disabled = true;
  const machine = selected();
  try {
    await machine.run(() => examine(machine));
  } catch (error) {
    $("findings").append(notice("bad", sentence(error)));
  } finally {
    running = false;
    showFacts();
  }
}

export function start() {
  const [gpu] = machines;
  for (const machine of machines) machine.addEventListener("change", showFacts);
  const choose = (kind) => {
    document.querySelector(`input[name=device][value=${kind}]`).checked = true;
    showFacts();
  };
  $("examine-form").addEventListener("change", showFacts);
  $("examine-form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  gpu.settled.then(() => {
    if (!gpu.ready) return;
    choose("gpu");
    $("calibrate").checked = !gpu.adapter.software;
  });
  showFacts();
}
