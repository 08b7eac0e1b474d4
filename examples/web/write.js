// "Write": the shipped model continues a text on both devices.

import { $, count, h, notice, painted, sentence, short, time } from "./dom.js";
import { cpu, gpu, machines, testing, trouble } from "./machine.js";
import { difference, known, nativeTokens, shipped } from "./model.js";

/** Tokens arrive in chunks of this size. Rates count from the first chunk on, as natively. */
const CHUNK = 32;

/** The panel of one machine: its text and its figures. */
class Panel {
  constructor(machine) {
    this.machine = machine;
    this.about = h("p", { class: "about" });
    this.notices = h("div", { role: "alert" });
    this.progress = h("div", { class: "progress", "aria-live": "polite" });
    this.text = h("pre", {
      class: "text", tabindex: 0, role: "region", "aria-label": `Text of ${machine.title}`,
    });
    this.figures = {
      rate: h("dd", {}, "–"), first: h("dd", {}, "–"), native: h("dd", {}, "–"),
    };
    this.element = h("article", { class: `panel ${machine.kind}` },
      h("h3", {}, machine.title), this.about, this.notices, this.text, this.progress,
      h("dl", { class: "figures" },
        h("div", {}, h("dt", {}, "Tokens per second"), this.figures.rate),
        h("div", {}, h("dt", {}, "First token after"), this.figures.first),
        h("div", { class: "native" }, h("dt", {}, "Native program"), this.figures.native)));
    machine.addEventListener("change", () => this.render());
    this.render();
  }

  render() {
    const { machine } = this;
    this.element.dataset.state = machine.state;
    this.about.textContent = machine.ready ? machine.about() : "";
    this.busy(machine.state === "opening"
      ? `Opening ${machine.title}: ${machine.kind === "gpu"
        ? "it builds pipelines and tests itself" : "the module loads"}` : null);
    const problem = trouble(machine);
    this.notices.replaceChildren();
    if (problem === null) {
      if (testing && machine.ready) this.notices.append(this.loseButton());
      return;
    }
    this.notices.append(notice(machine.state === "absent" ? "plain" : "bad", problem));
    if (machine.state !== "absent") {
      this.notices.append(h("button", { type: "button", onclick: () => this.reopen() },
        "Open it again"));
    }
  }

  async reopen() {
    this.machine.settled = this.machine.open();
    await this.machine.settled;
    if (this.machine.ready) $("go").focus();
  }

  loseButton() {
    return h("button", { type: "button", onclick: () => this.machine.device.destroy() },
      "Lose the device");
  }

  busy(text) {
    this.progress.replaceChildren(...(text
      ? [h("progress", { "aria-label": text }), h("span", {}, text)] : []));
  }

  clear(prompt) {
    this.render();
    this.tokens = [];
    this.text.replaceChildren(h("b", {}, prompt));
    for (const figure of Object.values(this.figures)) figure.textContent = "–";
    this.figures.native.className = "";
  }

  /** Shows a piece of text. Keeps the end in view unless the reader has scrolled up. */
  append(text) {
    const { text: box } = this;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(text);
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  /** Writes with these settings. Returns whether the run came to its end. */
  async write(settings, stopped) {
    const { machine } = this;
    const { name, bytes } = await shipped();
    this.busy("Building pipelines");
    await painted();
    try {
      const model = await machine.languageModel(name, bytes);
      await machine.run(() => this.#generate(model, settings, stopped));
    } catch (error) {
      if (machine.ready) this.notices.append(notice("bad", sentence(error)));
      return false;
    } finally {
      if (machine.state !== "opening") this.busy(null);
    }
    await this.#compareWithNative(settings);
    return !stopped();
  }

  async #generate(model, { prompt, temperature, seed, tokens }, stopped) {
    const options = { temperature, seed, tokens, chunk: CHUNK };
    const started = performance.now();
    let [first, rated] = [null, 0];
    let [waiting, painting] = ["", started];
    for await (const { token, text } of model.generate(prompt, options)) {
      const now = performance.now();
      if (first === null) {
        first = now;
        this.busy(null);
        this.figures.first.textContent = time(first - started);
        this.machine.firstToken ??= first;
      }
      // A chunk that begins here has taken its whole time already.
      const before = this.tokens.length;
      if (before > 0 && before % CHUNK === 0) rated = before / (now - first);
      this.tokens.push(token);
      waiting += text;
      // The page paints about thirty times a second, and the text costs little.
      if (now - painting > 33) {
        this.append(waiting);
        [waiting, painting] = ["", now];
        if (rated) this.figures.rate.textContent = count(rated * 1000);
        await painted();
      }
      if (stopped()) break;
    }
    this.append(waiting);
    this.figures.rate.textContent = rated ? count(rated * 1000) : "–";
  }

  async #compareWithNative(settings) {
    const native = await nativeTokens(settings);
    const { native: figure } = this.figures;
    if (!native || !this.tokens.length) {
      figure.textContent = native ? "–" : "not known for these settings";
      return;
    }
    const length = Math.min(native.length, this.tokens.length);
    const at = difference(native, this.tokens);
    figure.className = at < 0 ? "good" : "bad";
    figure.textContent = at < 0
      ? `✓ the same ${count(length)} tokens`
      : `✗ differs from token ${count(at + 1)} on: rounding can decide between two`;
  }
}

const panels = machines.map((machine) => new Panel(machine));
let running = false;
let stopping = false;

function settings() {
  return {
    prompt: $("prompt").value,
    temperature: $("temperature").valueAsNumber,
    seed: $("seed").valueAsNumber,
    tokens: $("tokens").valueAsNumber,
  };
}

/** Writes on each device in turn, and compares the texts. */
async function write() {
  if (running) return;
  [running, stopping] = [true, false];
  $("go").disabled = true;
  $("stop").disabled = false;
  $("agreement").textContent = "";
  $("agreement").className = "verdict";
  const chosen = settings();
  for (const panel of panels) panel.clear(chosen.prompt);
  const finished = [];
  try {
    // The CPU is ready at once, while the GPU still builds its pipelines.
    for (const machine of [cpu, gpu]) {
      await machine.settled;
      const panel = panels[machines.indexOf(machine)];
      if (!machine.ready || stopping) continue;
      if (await panel.write(chosen, () => stopping)) finished.push(panel);
    }
    agree(finished);
  } catch (error) {
    $("agreement").append(notice("bad", sentence(error)));
  } finally {
    running = false;
    $("go").disabled = false;
    $("stop").disabled = true;
  }
}

function agree(finished) {
  if (stopping) $("agreement").textContent = "Stopped.";
  if (finished.length < 2) return;
  const [one, other] = finished.map((panel) => panel.tokens);
  const at = difference(one, other);
  $("agreement").classList.add(at < 0 ? "good" : "bad");
  $("agreement").textContent = at < 0
    ? `✓ WebGPU and the CPU wrote the same ${count(one.length)} tokens.`
    : `✗ The texts differ from token ${count(at + 1)} on: rounding can decide between two.`;
}

/** Says when the first tokens came, from the start of the page's load. */
function sayTimes() {
  const times = machines.filter((machine) => machine.firstToken)
    .map((machine) => `${machine.title} ${short(machine.firstToken / 1000)} s`);
  if (times.length) {
    $("build").textContent = `First token after the page began to load: ${times.join(", ")}.`;
  }
}

/** Shows the known settings, and marks the one that the fields hold. */
async function listKnown() {
  const list = await known;
  const name = ({ prompt, temperature, seed }) => temperature === 0
    ? `${prompt} greedy` : `${prompt} temperature ${temperature}, seed ${seed}`;
  $("known").append(h("option", { value: "" }, "other settings"),
    ...list.map((one, at) => h("option", { value: at }, name(one))));
  const mark = () => {
    const now = settings();
    const at = list.findIndex((one) => one.prompt === now.prompt && one.seed === now.seed
      && one.temperature === now.temperature);
    $("known").value = at < 0 ? "" : String(at);
  };
  $("known").addEventListener("change", () => {
    const one = list[$("known").value];
    if (!one) return;
    $("prompt").value = one.prompt;
    $("temperature").value = one.temperature;
    $("seed").value = one.seed;
  });
  for (const id of ["prompt", "temperature", "seed"]) $(id).addEventListener("input", mark);
  mark();
}

/** Fills the fields from the address: `?prompt=JULIET:&tokens=100`. */
function readAddress() {
  const query = new URLSearchParams(location.search);
  for (const id of ["prompt", "temperature", "seed", "tokens"]) {
    if (query.has(id)) $(id).value = query.get(id);
  }
}

/** Sets the part up, and writes a first text. */
export async function start() {
  readAddress();
  $("texts").append(...panels.map((panel) => panel.element));
  $("write-form").addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  $("stop").addEventListener("click", () => { stopping = true; });
  // The file loads while the devices open. `write` shows an error.
  shipped().catch(() => {});
  await listKnown();
  $("go").disabled = false;
  if (!$("write-form").checkValidity()) return;
  await write();
  sayTimes();
}
