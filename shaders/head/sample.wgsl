// Draws the next token of each row from the softmax of its logits, or takes the likeliest one.
//
// A workgroup owns a row. It compares keys, integers in the order of the floats, so that
// comparisons are exact and order NaN. Each invocation sums one of WORKGROUP_SIZE contiguous
// chunks. One invocation then finds the chunk, and in it the token, at which the running sum passes
// a random share of the total.

struct SampleDims {
    batch: u32,
    columns: u32,
    pad: vec2<u32>,
}

struct Step {
    index: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

override WORKGROUP_SIZE: u32 = 256u;   // at least 32

const NO_TOKEN = 0xffffffffu;      // the result of a row from which nothing can be drawn
const SAMPLE_SITE = 0xffffffffu;   // separates these random numbers from dropout's

@group(0) @binding(0) var<uniform> dims: SampleDims;
@group(0) @binding(1) var<uniform> step_at: Step;                    // dynamic offset: one a step
@group(0) @binding(2) var<storage, read> logits: array<f32>;         // [B, N]
@group(0) @binding(3) var<storage, read> settings: array<u32>;       // [8]     see below
@group(0) @binding(4) var<storage, read_write> token: array<u32>;    // [B]     the next input
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;   // [S, B]  every drawn token

// Settings 0 and 1 are the key's low and high word. The others are:
const TEMPERATURE = 2u;      // f32 bits; 0 takes the likeliest token
const TOP_K = 3u;            // draws from the k largest logits and ties with the k-th; 0: from all
const FIRST_POSITION = 4u;   // the position of step 0, a counter of the random numbers
const TOP_P = 5u;            // f32 bits of the share of weight to draw from; 0 or 1: all of it

var<workgroup> sh_largest: atomic<u32>;
var<workgroup> sh_likeliest: atomic<u32>;
var<workgroup> sh_counts: array<atomic<u32>, 32>;     // keys that reach the candidate, by bit
var<workgroup> sh_sums: array<f32, WORKGROUP_SIZE>;   // sum of each chunk

// Maps floats to integers in their order: −inf < .. < −0 = 0 < .. < inf < NaN of either sign.
fn key_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    let key = select(0x80000000u - magnitude, 0x80000000u + magnitude, bits == magnitude);
    return select(key, 0xffffffffu, magnitude > 0x7f800000u);
}

fn is_finite(key: u32) -> bool {
    return key > 0x00800000u && key < 0xff800000u;
}

// Returns the weight of the logit at `at`: 0 if its key is below the lowest that may be drawn.
fn weight_of(at: u32, row_max: f32, lowest: u32) -> f32 {
    let x = logits[at];
    let temperature = bitcast<f32>(settings[TEMPERATURE]);
    return select(0.0, softmax_term((x - row_max) / temperature), key_of(x) >= lowest);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sample(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last row, to reach all barriers, and store nothing.
    let in_range = tile < dims.batch;
    let b = min(tile, dims.batch - 1u);
    let first = b * dims.columns;
    if lane == 0u {
        atomicStore(&sh_largest, 0u);
        atomicStore(&sh_likeliest, NO_TOKEN);
    }
    if lane < 32u {
        atomicStore(&sh_counts[lane], 0u);
    }
    workgroupBarrier();

    // Find the largest key, then the first token that has it.
    var lane_largest = 0u;
    var lane_likeliest = NO_TOKEN;
    for (var i = lane; i < dims.columns; i += WORKGROUP_SIZE) {
        let key = key_of(logits[first + i]);
        if key > lane_largest {
            lane_largest = key;
            lane_likeliest = i;
        }
    }
    atomicMax(&sh_largest, lane_largest);
    workgroupBarrier();
    let largest = atomicLoad(&sh_largest);
    if lane_largest == largest {
        atomicMin(&sh_likeliest, lane_likeliest);
    }
    workgroupBarrier();
    let likeliest = atomicLoad(&sh_likeliest);
    let greedy = settings[TEMPERATURE] == 0u;
    let drawing = !greedy && is_finite(largest);

    // Find the top_k-th largest key bit by bit: the largest value that at least top_k keys reach.
    let top_k = settings[TOP_K];
    let narrowed = drawing && top_k > 0u && top_k < dims.columns;
    var lowest = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
        let candidate = lowest | (0x80000000u >> bit);
        if narrowed {
            var count = 0u;
            for (var i = lane; i < dims.columns; i += WORKGROUP_SIZE) {
                count += select(0u, 1u, key_of(logits[first + i]) >= candidate);
            }
            atomicAdd(&sh_counts[bit], count);
        }
        workgroupBarrier();
        if narrowed && atomicLoad(&sh_counts[bit]) >= top_k {
            lowest = candidate;
        }
    }

    let chunk = (dims.columns + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
    let row_max = logits[first + likeliest];
    lowest = nucleus(lane, first, dims.columns, row_max, lowest);
    var lane_sum = 0.0;
    if drawing {
        for (var i = lane * chunk; i < min((lane + 1u) * chunk, dims.columns); i++) {
            lane_sum += weight_of(first + i, row_max, lowest);
        }
    }
    sh_sums[lane] = lane_sum;
    workgroupBarrier();
    if in_range && lane == 0u {
        var chosen = NO_TOKEN;
        if drawing {
            let position = settings[FIRST_POSITION] + step_at.index;
            let words = philox(
                vec4<u32>(0u, position, b, SAMPLE_SITE),
                vec2<u32>(settings[0], settings[1])
            );
            chosen = draw(f32(words.x >> 8u) / 16777216.0, chunk, first, likeliest, lowest);
        } else if greedy && largest != 0xffffffffu {
            chosen = likeliest;
        }
        token[b] = chosen;
        tokens[step_at.index * dims.batch + b] = chosen;
    }
}

// Returns the largest key that leaves at least the share TOP_P of the weight of all keys from
// `lowest` on. Finds it bit by bit, by sums that all invocations have.
fn nucleus(lane: u32, first: u32, columns: u32, row_max: f32, lowest: u32) -> u32 {
    let top_p = bitcast<f32>(settings[TOP_P]);
    let narrowed = settings[TEMPERATURE] != 0u && top_p > 0.0 && top_p < 1.0;
    let rounds = select(0u, 33u, narrowed);
    var goal = 0.0;
    var found = 0u;
    var bit = 0u;   // of the candidate; the first round has none, and finds the goal
    for (var round = 0u; round < rounds; round++) {
        let candidate = found | bit;
        let sum = weight_from(lane, first, columns, row_max, max(candidate, lowest));
        if round == 0u {
            goal = top_p * sum;
        } else if sum >= goal {
            found = candidate;
        }
        bit = select(bit >> 1u, 0x80000000u, round == 0u);
    }
    return max(found, lowest);
}

// Returns the sum of the weights of all keys from `lowest` on. All invocations call it together.
fn weight_from(lane: u32, first: u32, columns: u32, row_max: f32, lowest: u32) -> f32 {
    var lane_sum = 0.0;
    for (var i = lane; i < columns; i += WORKGROUP_SIZE) {
        lane_sum += weight_of(first + i, row_max, lowest);
    }
    sh_sums[lane] = lane_sum;
    workgroupBarrier();
    for (var distance = WORKGROUP_SIZE / 2u; distance > 0u; distance /= 2u) {
        if lane < distance {
            sh_sums[lane] += sh_sums[lane + distance];
        }
        workgroupBarrier();
    }
    let sum = sh_sums[0];
    workgroupBarrier();
    return sum;
}

// Returns the token at which the running sum of weights passes a share in [0, 1) of the total.
fn draw(share: f32, chunk: u32, first: u32, likeliest: u32, lowest: u32) -> u32 {
    var total = 0.0;
    for (var c = 0u; c < WORKGROUP_SIZE; c++) {
        total += sh_sums[c];
    }
    // Test the bits for a positive, finite total: a compiler may assume that no float is NaN.
    if bitcast<u32>(total) - 1u >= 0x7f7fffffu {
        return NO_TOKEN;
    }
    let goal = share * total;
    var before = 0.0;
    var c = 0u;
    for (; c < WORKGROUP_SIZE - 1u; c++) {
        let through = before + sh_sums[c];
        if through > goal {
            break;
        }
        before = through;
    }
    // A weight may round differently here than in the chunk's sum, so that the sum may not reach
    // the goal. The result is then the chunk's last token with a weight. Without one it is the
    // likeliest.
    let row_max = logits[first + likeliest];
    var chosen = likeliest;
    var sum = 0.0;
    for (var i = c * chunk; i < min((c + 1u) * chunk, dims.columns); i++) {
        let weight = weight_of(first + i, row_max, lowest);
        sum += weight;
        if weight > 0.0 {
            chosen = i;
            if before + sum > goal {
                break;
            }
        }
    }
    return chosen;
}
