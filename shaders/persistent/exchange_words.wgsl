// The exchange word by word, in atomics, and the workgroup's copy of a chunk's state.
//
// The components of a quad lie apart in the copy, so that each store is of a single value and
// neighbouring lanes read from different banks. Eight more values in a plane put the components of
// a quad into different banks, too.

override PLANE: u32 = CHUNK * STRIDE + 8u;
override STATE: u32 = 8u * PLANE;
override WORDS: u32 = (CHUNK * STRIDE * 4u + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
override SWEEPS: u32 = (WORDS + 15u) / 16u;   // of 16 words of an invocation

var<workgroup> sh_h: array<f32, STATE>;   // [2, 4, CHUNK · STRIDE + 8]

// Returns the index of a row's quad. The quad of the next row is STRIDE further on.
fn state_at(half: u32, row: u32, quad: u32) -> u32 {
    return half * 4u * PLANE + row * STRIDE + quad;
}

fn state_quad(at: u32) -> vec4<f32> {
    return vec4<f32>(sh_h[at], sh_h[at + PLANE], sh_h[at + 2u * PLANE], sh_h[at + 3u * PLANE]);
}

fn clear_state(local_index: u32) {
    for (var at = local_index; at < STATE; at += WORKGROUP_SIZE) {
        sh_h[at] = 0.0;
    }
}

// Returns unit j of a row. Past the end of the row it is any value.
fn state_word(half: u32, row: u32, j: u32) -> f32 {
    return sh_h[state_at(half, row, min(j / 4u, STRIDE - 1u)) + j % 4u * PLANE];
}

fn put(half: u32, row: u32, j: u32, value: f32) {
    sh_h[state_at(half, row, j / 4u) + j % 4u * PLANE] = value;
}

// Puts word k of a chunk. A row has state_quads quads in the exchange and STRIDE quads in the copy.
fn keep_word(half: u32, k: u32, value: f32) {
    let state_size = dims.state_quads * 4u;
    var row = 0u;
    if CHUNK > 1u {
        row = k / state_size;
    }
    put(half, row, k - row * state_size, value);
}

// Copies the state before the segment, for which nobody waits.
fn copy_initial(half: u32, first: u32, words: u32, local_index: u32) {
    for (var k = local_index; k < words; k += WORKGROUP_SIZE) {
        keep_word(half, k, bitcast<f32>(exchanged(h_in[first + k])));
    }
}

// Copies `words` words from `first` on, and waits for them as long as patience lasts. Returns the
// rest of patience, all or nothing.
fn copy_exchanged(half: u32, first: u32, words: u32, local_index: u32, patience: u32) -> u32 {
    var left = patience;
    for (var sweep = 0u; sweep < SWEEPS; sweep++) {
        let k = local_index + sweep * 16u * WORKGROUP_SIZE;
        let at = EXCHANGE_START + first + k;
        var a = absent(k, words);
        var b = absent(k + 4u * WORKGROUP_SIZE, words);
        var c = absent(k + 8u * WORKGROUP_SIZE, words);
        var d = absent(k + 12u * WORKGROUP_SIZE, words);
        loop {
            a = look(a, at);
            var ready = all(a != vec4<u32>(0u));
            if WORDS > 4u {
                b = look(b, at + 4u * WORKGROUP_SIZE);
                ready = ready && all(b != vec4<u32>(0u));
            }
            if WORDS > 8u {
                c = look(c, at + 8u * WORKGROUP_SIZE);
                ready = ready && all(c != vec4<u32>(0u));
            }
            if WORDS > 12u {
                d = look(d, at + 12u * WORKGROUP_SIZE);
                ready = ready && all(d != vec4<u32>(0u));
            }
            if ready || left == 0u {
                break;
            }
            left--;
        }
        keep(half, k, words, a);
        if WORDS > 4u {
            keep(half, k + 4u * WORKGROUP_SIZE, words, b);
        }
        if WORDS > 8u {
            keep(half, k + 8u * WORKGROUP_SIZE, words, c);
        }
        if WORDS > 12u {
            keep(half, k + 12u * WORKGROUP_SIZE, words, d);
        }
    }
    return select(patience, 0u, left == 0u);
}

fn keep(half: u32, k: u32, words: u32, values: vec4<u32>) {
    if k < words {
        keep_word(half, k, bitcast<f32>(values.x));
    }
    if k + WORKGROUP_SIZE < words {
        keep_word(half, k + WORKGROUP_SIZE, bitcast<f32>(values.y));
    }
    if k + 2u * WORKGROUP_SIZE < words {
        keep_word(half, k + 2u * WORKGROUP_SIZE, bitcast<f32>(values.z));
    }
    if k + 3u * WORKGROUP_SIZE < words {
        keep_word(half, k + 3u * WORKGROUP_SIZE, bitcast<f32>(values.w));
    }
}
