// The exchange in quads of volatile memory: one load looks at four words, which no atomic does. A
// driver must not tear loads and stores of single words.

override STATE: u32 = 2u * CHUNK * STRIDE;
override WORDS: u32 = (CHUNK * STRIDE + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;   // quads
override SWEEPS: u32 = (WORDS + 3u) / 4u;   // of 4 quads of an invocation

// The flag, then the state after each step.
@group(0) @binding(9) @coherent @volatile var<storage, read_write> exchange: array<vec4<u32>>;
//        @binding(9)                     exchange                     [16 + S·D·B·R/4]

var<workgroup> sh_h: array<vec4<f32>, STATE>;   // [2, CHUNK, STRIDE]

// Returns the index of a row's quad. The quad of the next row is STRIDE further on.
fn state_at(half: u32, row: u32, quad: u32) -> u32 {
    return (half * CHUNK + row) * STRIDE + quad;
}

fn state_quad(at: u32) -> vec4<f32> {
    return sh_h[at];
}

fn clear_state(local_index: u32) {
    for (var at = local_index; at < STATE; at += WORKGROUP_SIZE) {
        sh_h[at] = vec4<f32>(0.0);
    }
}

// Returns unit j of a row. Past the end of the row it is any value.
fn state_word(half: u32, row: u32, j: u32) -> f32 {
    return sh_h[state_at(half, row, min(j / 4u, STRIDE - 1u))][j % 4u];
}

fn put(half: u32, row: u32, j: u32, value: f32) {
    sh_h[state_at(half, row, j / 4u)][j % 4u] = value;
}

fn is_failed() -> bool {
    return exchange[0].x != 0u;
}

fn raise_flag() {
    exchange[0].x = 1u;
}

fn publish(at: u32, bits: u32) {
    exchange[(EXCHANGE_START + at) / 4u][at % 4u] = bits;
}

// Returns the index of quad k of a chunk. A row has state_quads quads in the exchange and STRIDE
// quads in the copy.
fn kept_at(half: u32, k: u32) -> u32 {
    var row = 0u;
    if CHUNK > 1u {
        row = k / dims.state_quads;
    }
    return state_at(half, row, k - row * dims.state_quads);
}

// Copies the state before the segment, for which nobody waits.
fn copy_initial(half: u32, first: u32, words: u32, local_index: u32) {
    for (var k = local_index; k < words / 4u; k += WORKGROUP_SIZE) {
        let at = first + 4u * k;
        sh_h[kept_at(half, k)] = bitcast<vec4<f32>>(vec4<u32>(
            exchanged(h_in[at]),
            exchanged(h_in[at + 1u]),
            exchanged(h_in[at + 2u]),
            exchanged(h_in[at + 3u]),
        ));
    }
}

// Copies `words` words from `first` on, and waits for them as long as patience lasts. Returns the
// rest of patience, all or nothing.
fn copy_exchanged(half: u32, first: u32, words: u32, local_index: u32, patience: u32) -> u32 {
    var left = patience;
    let quads = words / 4u;
    for (var sweep = 0u; sweep < SWEEPS; sweep++) {
        let k = local_index + sweep * 4u * WORKGROUP_SIZE;
        let at = (EXCHANGE_START + first) / 4u + k;
        var a = absent(k, quads);
        var b = absent(k + WORKGROUP_SIZE, quads);
        var c = absent(k + 2u * WORKGROUP_SIZE, quads);
        var d = absent(k + 3u * WORKGROUP_SIZE, quads);
        loop {
            if any(a == vec4<u32>(0u)) {
                a = exchange[at];
            }
            var ready = all(a != vec4<u32>(0u));
            if WORDS > 1u {
                if any(b == vec4<u32>(0u)) {
                    b = exchange[at + WORKGROUP_SIZE];
                }
                ready = ready && all(b != vec4<u32>(0u));
            }
            if WORDS > 2u {
                if any(c == vec4<u32>(0u)) {
                    c = exchange[at + 2u * WORKGROUP_SIZE];
                }
                ready = ready && all(c != vec4<u32>(0u));
            }
            if WORDS > 3u {
                if any(d == vec4<u32>(0u)) {
                    d = exchange[at + 3u * WORKGROUP_SIZE];
                }
                ready = ready && all(d != vec4<u32>(0u));
            }
            if ready || left == 0u {
                break;
            }
            left--;
        }
        keep(half, k, quads, a);
        if WORDS > 1u {
            keep(half, k + WORKGROUP_SIZE, quads, b);
        }
        if WORDS > 2u {
            keep(half, k + 2u * WORKGROUP_SIZE, quads, c);
        }
        if WORDS > 3u {
            keep(half, k + 3u * WORKGROUP_SIZE, quads, d);
        }
    }
    return select(patience, 0u, left == 0u);
}

// Returns a quad before the first look. A quad that does not exist has no 0, so that nobody waits
// for it.
fn absent(k: u32, quads: u32) -> vec4<u32> {
    return vec4<u32>(select(0u, 1u, k >= quads));
}

fn keep(half: u32, k: u32, quads: u32, values: vec4<u32>) {
    if k < quads {
        sh_h[kept_at(half, k)] = bitcast<vec4<f32>>(values);
    }
}
