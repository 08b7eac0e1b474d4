"""Tables of `scripts/report-device`: pure functions from measurements to figures and Markdown."""

import math

SIZES = ["kind", "seq_len", "batch", "input_size", "hidden_size", "num_layers", "bidirectional"]
WAYS = ["eager", "graph", "tf32", "fp16"]


def key(row):
    return tuple(row[size] for size in SIZES)


def time_of(row):
    """Time on the device, or wall time on a device without a clock, in microseconds."""
    return (row.get("gpu_us") or row["wall_us"])["median"]


def ratio(theirs, ours):
    return theirs / ours if theirs and ours else None


def mean(values):
    """The geometric mean of the values that exist."""
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def by_option(rows):
    """{shape: {schedule option: row}}, in the order of measurement."""
    shapes = {}
    for row in rows:
        shapes.setdefault(key(row), {})[row["schedule_option"]] = row
    return shapes


def shape(options, torch):
    """The figures of one shape. `options` maps a schedule option to its row."""
    first = next(iter(options.values()))
    auto = options.get("auto")
    best = min(options.values(), key=time_of)
    result = {"name": first["name"], **{size: first[size] for size in SIZES}}
    result["by_schedule"] = {option: time_of(row) for option, row in options.items()}
    result["device_time"] = all(row.get("gpu_us") for row in options.values())
    result["best_us"], result["best_schedule"] = time_of(best), best["schedule"]
    result["auto_us"] = result["auto_schedule"] = result["auto_wall_us"] = result["loss"] = None
    if auto:
        same = [time_of(row) for row in options.values() if row["schedule"] == auto["schedule"]]
        result["auto_us"], result["auto_schedule"] = time_of(auto), auto["schedule"]
        result["auto_wall_us"] = auto["wall_us"]["median"]
        # Two runs of one schedule differ by noise, which is no loss of the choice.
        result["loss"] = min(same) / time_of(best) - 1
    for way in WAYS:
        figures = torch.get(way) or {}
        result[f"{way}_us"], result[f"{way}_wall_us"] = (
            figures.get("device_us"),
            figures.get("wall_us"),
        )
    result["ratio_device"] = ratio(result["eager_us"], result["auto_us"])
    result["ratio_graph"] = ratio(result["graph_us"], result["auto_us"])
    result["ratio_wall"] = ratio(result["eager_wall_us"], result["auto_wall_us"])
    return result


def shapes(rows, torch_rows):
    torch = {key(row): row for row in torch_rows}
    return [shape(options, torch.get(sizes, {})) for sizes, options in by_option(rows).items()]


def pairs(rows, torch_rows):
    """Shapes of the suite `kernels` that differ in the number of steps: [(small, large)]."""
    all_shapes = shapes(rows, torch_rows)
    return [
        (small, large)
        for small, large in zip(all_shapes, all_shapes[1:])
        if small["batch"] == large["batch"]
        and small["hidden_size"] == large["hidden_size"]
        and small["input_size"] == large["input_size"]
        and small["seq_len"] < large["seq_len"]
    ]


def difference(small, large):
    return large - small if small and large and large > small else None


def recurrence(rows, torch_rows):
    """Time of one recurrent step, from two numbers of steps, in microseconds."""
    result = []
    for small, large in pairs(rows, torch_rows):
        steps = large["seq_len"] - small["seq_len"]
        per_step = {}
        for option, time in large["by_schedule"].items():
            took = difference(small["by_schedule"].get(option), time)
            if took:
                per_step[option] = took / steps
        eager, graph = [
            ratio(difference(small[f"{way}_us"], large[f"{way}_us"]), steps)
            for way in ("eager", "graph")
        ]
        best = min(per_step, key=per_step.get) if per_step else None
        result.append(
            {
                "batch": small["batch"],
                "hidden_size": small["hidden_size"],
                "us_per_step": per_step,
                "best_schedule": large["best_schedule"] if best == "auto" else best,
                "eager": eager,
                "graph": graph,
            }
        )
    return result


def summary(figures):
    """Means over shapes, and the shapes that are slower than PyTorch or lose by `auto`."""
    result = {"shapes": len(figures), "loss": max([f["loss"] or 0 for f in figures], default=None)}
    for name in ("device", "graph", "wall"):
        result[name] = mean(f[f"ratio_{name}"] for f in figures)
        below = [f["name"] for f in figures if (f[f"ratio_{name}"] or 1) < 1]
        result[f"below_{name}"] = below
    result["lossy"] = [f["name"] for f in figures if (f["loss"] or 0) > 0.05]
    return result


# --- Markdown -------------------------------------------------------------------------------------


def number(value, digits=3):
    """Three significant digits, or all digits before the point."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{places}f}"


def table(headings, lines):
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, rule, *lines])


def sizes(figures):
    dims = [figures[size] for size in SIZES[1:6]] + [2 if figures["bidirectional"] else 1]
    return f"{figures['kind']} {','.join(map(str, dims))}"


def table_of_shapes(figures):
    headings = ["shape (kind T,B,I,H,L,D)", "auto µs", "schedule", "best µs", "best", "wall µs"]
    headings += ["eager", "graph", "TF32", "fp16", "eager wall"]
    headings += ["eager/auto", "graph/auto", "wall/wall"]
    lines = []
    for f in figures:
        line = [f"{f['name']}: {sizes(f)}", number(f["auto_us"]), f["auto_schedule"] or "–"]
        line += [number(f["best_us"]), f["best_schedule"], number(f["auto_wall_us"])]
        line += [number(f[f"{way}_us"]) for way in WAYS] + [number(f["eager_wall_us"])]
        line += [number(f[f"ratio_{name}"]) for name in ("device", "graph", "wall")]
        lines.append(line)
    return table(headings, lines)


def table_of_schedules(figures):
    options = list(dict.fromkeys(option for f in figures for option in f["by_schedule"]))
    lines = [
        [f["name"], *(number(f["by_schedule"].get(option)) for option in options)]
        for f in figures
    ]
    return table(["µs", *options], lines)


def table_of_recurrence(steps):
    options = list(dict.fromkeys(option for s in steps for option in s["us_per_step"]))
    headings = ["B, H: µs a step", *options, "best", "eager", "graph"]
    lines = [
        [
            f"{s['batch']}, {s['hidden_size']}",
            *(number(s["us_per_step"].get(option)) for option in options),
            s["best_schedule"] or "–",
            number(s["eager"]),
            number(s["graph"]),
        ]
        for s in steps
    ]
    return table(headings, lines)


def listed(names):
    return ", ".join(names) if names else "none"


def markdown(report):
    """The report as text. Its fields are those of report.json."""
    facts = [report["date"], report["backend"], report["driver"], report["program"]]
    facts += [f"revision {report['revision']}" if report["revision"] else "", report["pytorch"]]
    parts = [f"# {report['device']}", ", ".join(fact for fact in facts if fact)]
    if report["shapes"]:
        s = report["summary"]
        clock = "device time" if report["device_time"] else "wall time (no device clock)"
        parts.append(f"Medians of {clock}; a ratio above 1 is PyTorch's time over ours.")
        parts += [table_of_shapes(report["shapes"])]
        means = [
            f"* geometric mean against PyTorch: device {number(s['device'])}, in a CUDA graph "
            f"{number(s['graph'])}, wall {number(s['wall'])}",
            f"* below 1 by device time: {listed(s['below_device'])}",
            f"* below 1 against a CUDA graph: {listed(s['below_graph'])}",
            f"* below 1 by wall time: {listed(s['below_wall'])}",
            f"* `auto` loses at most {number(100 * (s['loss'] or 0))} % to the best schedule; more "
            f"than 5 %: {listed(s['lossy'])}",
        ]
        parts += ["\n".join(means), "## Schedules", table_of_schedules(report["shapes"])]
    if report["recurrence"]:
        parts += ["## A recurrent step of an LSTM", table_of_recurrence(report["recurrence"])]
    generation = [
        f"{number(rate)} ({system})"
        for system, rate in report["tokens_per_second"].items()
        if rate
    ]
    if generation:
        parts.append("Generation, tokens a second: " + ", ".join(generation))
    lines = [f"* {step['name']}: {step['result']} ({step['seconds']:.0f} s)" for step in
             report["steps"]]
    parts += ["## Steps", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
