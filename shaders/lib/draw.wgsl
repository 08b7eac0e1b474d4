// Draws a token from the softmax of a row of logits, or takes the likeliest one. A kernel that has
// this fragment has `settings`, and `logit`, which returns a logit.
//
// A workgroup compares keys, integers in the order of the floats, so that comparisons are exact and
// order NaN. Each invocation sums one of WORKGROUP_SIZE contiguous chunks. The workgroup then finds
// the chunk, and in it the token, at which the running sum passes a random share of the total.

const NO_TOKEN = 0xffffffffu;      // the result of a row from which nothing can be drawn
const SAMPLE_SITE = 0xffffffffu;   // separates these random numbers from dropout's

// Settings 0 and 1 are the key's low and high word. The others are:
const TEMPERATURE = 2u;      // f32 bits; 0 takes the likeliest token
const TOP_K = 3u;            // draws from the k largest logits and ties with the k-th; 0: from all
const FIRST_POSITION = 4u;   // the position of step 0, a counter of the random numbers
const TOP_P = 5u;            // f32 bits of the share of weight to draw from; 0 or 1: all of it

const DIGIT_BITS = 4u;       // of a key, in a round that narrows the search for the k-th
const DIGITS = 16u;
const ROUNDS = 8u;

override SUMS: u32 = 2u * WORKGROUP_SIZE;

var<workgroup> sh_largest: atomic<u32>;
var<workgroup> sh_likeliest: atomic<u32>;
var<workgroup> sh_chunk: atomic<u32>;                 // the first that passes the share
var<workgroup> sh_chosen: u32;
var<workgroup> sh_counts: array<atomic<u32>, 128>;    // [ROUNDS, DIGITS]
var<workgroup> sh_sums: array<f32, SUMS>;             // [2, WORKGROUP_SIZE]

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
    let x = logit(at);
    let temperature = bitcast<f32>(settings[TEMPERATURE]);
    return select(0.0, softmax_term((x - row_max) / temperature), key_of(x) >= lowest);
}

// Returns the next token of row b, whose `columns` logits start at `first`, in every invocation.
// `step` counts from the chunk's first step.
fn drawn(first: u32, columns: u32, b: u32, step: u32, lane: u32) -> u32 {
    if lane == 0u {
        atomicStore(&sh_largest, 0u);
        atomicStore(&sh_likeliest, NO_TOKEN);
        atomicStore(&sh_chunk, WORKGROUP_SIZE - 1u);
    }
    for (var i = lane; i < ROUNDS * DIGITS; i += WORKGROUP_SIZE) {
        atomicStore(&sh_counts[i], 0u);
    }
    workgroupBarrier();

    // All invocations have read the result of a draw before this one.
    if lane == 0u {
        sh_chosen = NO_TOKEN;
    }
    // Find the largest key, then the first token that has it.
    var lane_largest = 0u;
    var lane_likeliest = NO_TOKEN;
    for (var i = lane; i < columns; i += WORKGROUP_SIZE) {
        let key = key_of(logit(first + i));
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
    let row_max = logit(first + likeliest);
    let kth = lowest_key(first, columns, drawing, lane);
    let lowest = nucleus(lane, first, columns, row_max, kth);

    let chunk = (columns + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
    var sum = 0.0;
    if drawing {
        for (var i = lane * chunk; i < min((lane + 1u) * chunk, columns); i++) {
            sum += weight_of(first + i, row_max, lowest);
        }
    }
    let half = running_sums(sum, lane);
    let total = sh_sums[half + WORKGROUP_SIZE - 1u];
    let word = philox(
        vec4<u32>(0u, settings[FIRST_POSITION] + step, b, SAMPLE_SITE),
        vec2<u32>(settings[0], settings[1])
    ).x;
    let goal = f32(word >> 8u) / 16777216.0 * total;
    // Test the bits for a positive, finite total: a compiler may assume that no float is NaN.
    let possible = drawing && bitcast<u32>(total) - 1u < 0x7f7fffffu;
    if possible && sh_sums[half + lane] > goal {
        atomicMin(&sh_chunk, lane);
    }
    workgroupBarrier();
    if possible && atomicLoad(&sh_chunk) == lane {
        // A weight may round differently here than in the chunk's sum, so that the sum may not
        // reach the goal. The result is then the chunk's last token with a weight. Without one it
        // is the likeliest.
        var chosen = likeliest;
        sum = 0.0;
        if lane > 0u {
            sum = sh_sums[half + lane - 1u];
        }
        for (var i = lane * chunk; i < min((lane + 1u) * chunk, columns); i++) {
            let weight = weight_of(first + i, row_max, lowest);
            sum += weight;
            if weight > 0.0 {
                chosen = i;
                if sum > goal {
                    break;
                }
            }
        }
        sh_chosen = chosen;
    } else if greedy && largest != 0xffffffffu && lane == 0u {
        sh_chosen = likeliest;
    }
    workgroupBarrier();
    return sh_chosen;
}

// Returns the k-th largest key if it narrows the choice, and 0 if not. Each round finds a digit: in
// the order of the digits, it counts the keys that have the digits so far.
fn lowest_key(first: u32, columns: u32, drawing: bool, lane: u32) -> u32 {
    var rank = settings[TOP_K];
    let narrowed = drawing && rank > 0u && rank < columns;
    var lowest = 0u;
    for (var round = 0u; round < ROUNDS; round++) {
        let shift = 32u - DIGIT_BITS * (round + 1u);
        let counts = round * DIGITS;
        // In two parts, since a shift is by less than 32 bits.
        let prefix = (lowest >> shift) >> DIGIT_BITS;
        if narrowed {
            for (var i = lane; i < columns; i += WORKGROUP_SIZE) {
                let digits = key_of(logit(first + i)) >> shift;
                if (digits >> DIGIT_BITS) == prefix {
                    atomicAdd(&sh_counts[counts + digits % DIGITS], 1u);
                }
            }
        }
        workgroupBarrier();
        if narrowed {
            var digit = DIGITS - 1u;
            for (; digit > 0u; digit--) {
                let count = atomicLoad(&sh_counts[counts + digit]);
                if count >= rank {
                    break;
                }
                rank -= count;
            }
            lowest |= digit << shift;
        }
    }
    return lowest;
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

// Leaves in sh_sums, from the returned index on, the sums of the chunks up to each one. Sums double
// their reach in each round.
fn running_sums(sum: f32, lane: u32) -> u32 {
    var half = 0u;
    sh_sums[lane] = sum;
    workgroupBarrier();
    for (var reach = 1u; reach < WORKGROUP_SIZE; reach *= 2u) {
        var through = sh_sums[half + lane];
        if lane >= reach {
            through += sh_sums[half + lane - reach];
        }
        half = WORKGROUP_SIZE - half;
        sh_sums[half + lane] = through;
        workgroupBarrier();
    }
    return half;
}
