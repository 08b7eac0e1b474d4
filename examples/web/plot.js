// Plots in tables: each row of a table holds a strip of one logarithmic axis.

import { svg } from "./dom.js";

/** A logarithmic axis over whole decades that holds all positive values. */
export class Axis {
  constructor(values) {
    const logs = values.filter((value) => value > 0).map(Math.log10);
    this.low = logs.length ? Math.floor(Math.min(...logs)) : 0;
    this.high = logs.length ? Math.max(Math.ceil(Math.max(...logs)), this.low + 1) : 1;
  }

  /** The place of a value, in percent of the width. Zero stands left of the axis. */
  place(value) {
    if (!(value > 0)) return 4;
    const share = (Math.log10(value) - this.low) / (this.high - this.low);
    return 12 + 80 * Math.min(Math.max(share, 0), 1);
  }

  decades() {
    const powers = [];
    // At most five labels fit.
    const step = Math.ceil((this.high - this.low) / 4);
    for (let power = this.low; power <= this.high; power += step) powers.push(power);
    return powers;
  }

  /** The head of the column: the labels of the decades. `write` makes the text of a value. */
  head(write) {
    const labels = this.decades().map((power, at, all) => svg("text", {
      x: `${this.place(10 ** power)}%`, y: "75%", "text-anchor": "middle",
      // A phone has room for two or three labels.
      class: all.length > 2 && at % 2 ? "wide" : undefined,
    }, write(10 ** power)));
    return svg("svg", { class: "axis", "aria-hidden": "true" }, labels);
  }

  /**
   * The strip of a row. Marks are `{ value, kind }`; the kinds are "gpu", "cpu" and "floor".
   * The numbers stand in the row's other cells, so the strip is hidden from readers of text.
   */
  strip(marks) {
    const lines = this.decades().map((power) => {
      const x = `${this.place(10 ** power)}%`;
      return svg("line", { class: "grid", x1: x, x2: x, y1: "0", y2: "100%" });
    });
    const drawn = marks.filter(({ value }) => Number.isFinite(value)).map(({ value, kind }) => {
      const x = `${this.place(value)}%`;
      if (kind === "floor") {
        return svg("line", { class: "floor", x1: x, x2: x, y1: "15%", y2: "85%" });
      }
      return svg("circle", { class: kind, cx: x, cy: "50%", r: "4" });
    });
    return svg("svg", { class: "strip", "aria-hidden": "true" }, lines, drawn);
  }
}
