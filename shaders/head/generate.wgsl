// Generates several tokens of each row in one dispatch: embedding, layers, decoder and draw.
//
// LANES invocations compute one unit of one row with all its gates, or as many logits as a unit has
// gates. The groups of lanes of all workgroups share the units of a layer. Each workgroup has a
// copy of the state of all layers and of the logits. It publishes the values that it computes and
// waits for the others. Every workgroup draws every token itself, so nobody waits for a token.
//
// A word of `exchange` is data and readiness at once, as in recurrence/persistent.wgsl: 0 means
// "not there yet", since every +0 becomes −0. Each step of a dispatch has its own words, which are
// cleared before. Therefore relaxed atomics suffice. Waits are bounded: an invocation whose
// patience ends raises a flag and waits no more. The workgroups of a dispatch must all run at the
// same time. A workgroup that is alone waits for nobody.
//
// A lane adds its features in order. Then lanes meet in halves. The order of a sum depends on LANES
// alone, and this depends on the hidden size.

override WORKGROUP_SIZE: u32 = 256u;
override LANES: u32 = 32u;      // 4, 8, 16 or 32; at most those of a subgroup, if subgroups pass on
override STATE: u32 = 1024u;    // values of the workgroup's copy
override ALONE: bool = false;   // one workgroup computes everything
override GROUPS: u32 = WORKGROUP_SIZE / LANES;
// The components of a quad lie apart, so that each store is of a single value and neighbouring
// lanes read from different banks. Eight more values put the components into different banks, too.
override PLANE: u32 = STATE / 4u + 8u;
override VALUES: u32 = 4u * PLANE;

const MAX_ROWS = 16u;

// The rows of one unit's gates in the weights, and the lane that reads them.
struct Reader {
    first: u32,         // the first quad
    stride: u32,        // quads from a gate to the next
    input_quads: u32,   // quads of the input
    lane: u32,
}

// The states of the layers, and one more place: a layer's new state goes to the place of the old
// state of the layer below, which nobody reads any more. Then the logits.
var<workgroup> sh_values: array<f32, VALUES>;       // [4, STATE / 4 + 8]
var<workgroup> sh_tokens: array<u32, MAX_ROWS>;     // [MAX_ROWS]  the input of the step

@compute @workgroup_size(WORKGROUP_SIZE)
fn generate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let lane = local_index % LANES;
    let group = workgroup.x * GROUPS + local_index / LANES;
    let groups = dims.workgroups * GROUPS;
    let rows = dims.layers * dims.batch;            // of the state
    let units = dims.batch * dims.hidden_size;      // of a layer
    let blocks = (dims.ntoken + GATE_COUNT - 1u) / GATE_COUNT;
    let logits = (rows + dims.batch) * state_size();   // the place of the logits in the copy
    // Weights past the end are 0, and the state there must be finite.
    for (var at = local_index; at < VALUES; at += WORKGROUP_SIZE) {
        sh_values[at] = 0.0;
    }
    if local_index < dims.batch {
        sh_tokens[local_index] = state_in[local_index];
    }
    workgroupBarrier();
    for (var at = local_index; at < rows * dims.hidden_size; at += WORKGROUP_SIZE) {
        let row = at / dims.hidden_size;
        let word = row * state_size() + at % dims.hidden_size;
        keep(word, exchanged(bitcast<f32>(state_in[dims.batch + word])));
    }
    // An invocation that finds the flag raised waits no more.
    var patience = select(dims.spins, 0u, is_failed());
    let hopeless = patience == 0u;
    workgroupBarrier();

    let b0 = min(group, units - 1u) % dims.batch;
    let unit0 = min(group, units - 1u) / dims.batch;
    var ahead = Gates();
    var place = 0u;   // of the first layer's state
    for (var step = 0u; step < dims.steps; step++) {
        let words = step * (dims.layers * units + dims.batch * dims.ntoken);
        let last = step + 1u == dims.steps;
        // The layers, then the decoder, whose blocks of logits are like units without a state.
        for (var layer = 0u; layer <= dims.layers; layer++) {
            let decoding = layer == dims.layers;
            let old = row_of(place + layer);
            let below = row_of(place + layer + dims.layers - 1u);
            let first = words + layer * units;
            let items = select(units, dims.batch * blocks, decoding);
            for (var base = 0u; base < items; base += groups) {
                // Lanes past the end repeat the last unit and store nothing.
                let item = min(base + group, items - 1u);
                let b = item % dims.batch;
                let unit = item / dims.batch;
                let past = base + group >= items;
                // Loads before the sums wait for memory together with the weights.
                var own = 0.0;
                var offsets = Gates();
                if !past && lane < GATE_COUNT {
                    offsets = bias_at(layer * dims.hidden_size + unit);
                }
                if !past && lane == 0u && !decoding {
                    own = load_own(layer, b, unit);
                }
                let reader = reader_of(layer, unit, lane);
                var part = ahead;
                if base > 0u || step + layer == 0u {
                    part = state_part(reader, old + b);
                }
                let h = add_lanes(part, LANES, local_index);
                let x = add_lanes(input_part(reader, layer, b, below + b), LANES, local_index);
                if decoding {
                    let token = unit * GATE_COUNT + lane;
                    if !past && lane < GATE_COUNT && token < dims.ntoken {
                        let sum = gate_of(x + offsets, lane);
                        publish(first + b * dims.ntoken + token, exchanged(sum));
                    }
                } else if !past && lane == 0u {
                    let before = kept((old + b) * state_size() + unit);
                    let next = advance(h, x + offsets, before, own);
                    store_own(layer, b, unit, next.y);
                    let bits = exchanged(next.x);
                    publish(first + b * dims.hidden_size + unit, bits);
                    if last {
                        let at = dims.batch + (layer * dims.batch + b) * state_size() + unit;
                        // A state that was +0 came back as −0.
                        state_out[at] = select(bits, 0u, bits == NEGATIVE_ZERO);
                    }
                }
            }
            // Before it waits, a lane adds the part of its next sum that needs no new value: that
            // from the state of the layer above or, after the decoder, of the first layer.
            if layer + 1u != dims.layers {
                let above = select(layer + 1u, 0u, decoding);
                let from_row = row_of(place + above + select(0u, dims.layers, decoding));
                ahead = state_part(reader_of(above, unit0, lane), from_row + b0);
            }
            let fresh = row_of(place + layer + dims.layers) * state_size();
            patience = copy(
                first,
                select(units, dims.batch * dims.ntoken, decoding),
                select(dims.hidden_size, dims.batch * dims.ntoken, decoding),
                select(fresh, logits, decoding),
                local_index,
                patience,
            );
            // The copy is there.
            workgroupBarrier();
        }

        for (var b = 0u; b < dims.batch; b++) {
            let at = dims.first_step + step;
            let token = drawn(logits + b * dims.ntoken, dims.ntoken, b, at, local_index);
            if local_index == 0u {
                sh_tokens[b] = token;
            }
            if local_index == 0u && workgroup.x == 0u {
                tokens[at * dims.batch + b] = token;
                if last {
                    state_out[b] = token;
                }
            }
        }
        workgroupBarrier();
        place += dims.layers;
    }
    if patience == 0u && !hopeless {
        raise_flag();
    }
}

fn state_size() -> u32 {
    return dims.state_quads * 4u;
}

// Returns the first row of a place in the copy.
fn row_of(place: u32) -> u32 {
    return place % (dims.layers + 1u) * dims.batch;
}

fn keep(word: u32, bits: u32) {
    sh_values[word % 4u * PLANE + word / 4u] = bitcast<f32>(bits);
}

fn kept(word: u32) -> f32 {
    return sh_values[word % 4u * PLANE + word / 4u];
}

fn logit(at: u32) -> f32 {
    return kept(at);
}

// Returns the rows of a unit's gates. Each has the weights of the input and then of the state. In
// the decoder, whose number is that of the layers, the rows of a block of tokens have no state.
fn reader_of(layer: u32, unit: u32, lane: u32) -> Reader {
    let state_quads = dims.state_quads;
    // The table of the embedding has whole blocks of tokens.
    var first = (dims.ntoken + GATE_COUNT - 1u) / GATE_COUNT * GATE_COUNT * dims.input_quads;
    var input_quads = dims.input_quads;
    var stride = input_quads + state_quads;
    if layer == dims.layers {
        first = dims.decoder;
        input_quads = state_quads;
        stride = state_quads;
    } else if layer > 0u {
        first += dims.hidden_size * GATE_COUNT * (stride + (layer - 1u) * 2u * state_quads);
        input_quads = state_quads;
        stride = 2u * state_quads;
    }
    return Reader(first + unit * GATE_COUNT * stride, stride, input_quads, lane);
}

// Returns the part of a lane in the sums of a unit from its input: the embedding of row b, or the
// row `below` of the copy.
fn input_part(r: Reader, layer: u32, b: u32, below: u32) -> Gates {
    var source = below * dims.state_quads;
    if layer == 0u {
        source = min(sh_tokens[b], dims.ntoken - 1u) * dims.input_quads;
    }
    return products(r, r.first, layer == 0u, source, r.input_quads);
}

// Returns the part of a lane in the sums of a unit from its state, which is a row of the copy. The
// decoder has none.
fn state_part(r: Reader, row: u32) -> Gates {
    let quads = r.stride - r.input_quads;
    return products(r, r.first + r.input_quads, false, row * dims.state_quads, quads);
}

// Returns the part of a lane in the products of a unit's gates, from the quad `first` on, with
// `quads` quads from `source` on: of the embedding, or of the copy. Four loads wait at a time.
fn products(r: Reader, first: u32, embedded: bool, source: u32, quads: u32) -> Gates {
    var sums = Gates();
    for (var k = r.lane; k < quads; k += 4u * LANES) {
        let a = weights_at(first, k, quads, r.stride);
        let b = weights_at(first, k + LANES, quads, r.stride);
        let c = weights_at(first, k + 2u * LANES, quads, r.stride);
        let d = weights_at(first, k + 3u * LANES, quads, r.stride);
        sums = add_products(sums, a, factors_at(embedded, source, k, quads));
        sums = add_products(sums, b, factors_at(embedded, source, k + LANES, quads));
        sums = add_products(sums, c, factors_at(embedded, source, k + 2u * LANES, quads));
        sums = add_products(sums, d, factors_at(embedded, source, k + 3u * LANES, quads));
    }
    return sums;
}

// Quads past the end are zeros, which change no sum.
fn weights_at(first: u32, k: u32, quads: u32, stride: u32) -> QuadWeights {
    var weights = QuadWeights();
    if k < quads {
        weights = gate_weights(first + k, stride);
    }
    return weights;
}

fn factors_at(embedded: bool, source: u32, k: u32, quads: u32) -> vec4<f32> {
    let at = source + k;
    var factors = vec4<f32>();
    if k < quads {
        if embedded {
            factors = weight_quad(at);
        } else {
            factors = vec4<f32>(
                sh_values[at],
                sh_values[at + PLANE],
                sh_values[at + 2u * PLANE],
                sh_values[at + 3u * PLANE],
            );
        }
    }
    return factors;
}

// Copies `count` words of the exchange, from `first` on, to rows of `width` words from the word
// `to` on. Waits for them as long as patience lasts. Returns the rest of it, all or nothing.
fn copy(
    first: u32,
    count: u32,
    width: u32,
    to: u32,
    local_index: u32,
    patience: u32,
) -> u32 {
    if ALONE {
        storageBarrier();
    }
    // Rows of the state are padded to quads.
    let stride = (width + 3u) / 4u * 4u;
    var left = patience;
    for (var k = local_index; k < count; k += 4u * WORKGROUP_SIZE) {
        var seen = absent(k, count);
        loop {
            seen = look(seen, EXCHANGE_START + first + k);
            if all(seen != vec4<u32>(0u)) || left == 0u {
                break;
            }
            left--;
        }
        for (var i = 0u; i < 4u; i++) {
            let word = k + i * WORKGROUP_SIZE;
            if word < count {
                keep(to + word / width * stride + word % width, seen.x);
            }
            seen = seen.yzwx;
        }
    }
    return select(patience, 0u, left == 0u);
}
