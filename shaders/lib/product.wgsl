// The matrix product of `tile` and of `step_tiled`: the rows of a workgroup with its columns,
// summed over their features.
//
// A workgroup computes TILE_ROWS × TILE_COLUMNS sums, an invocation ROWS × 4 of them in named
// registers. Features pass through workgroup memory in stages of DEPTH. Every invocation fetches
// the same number of quads of rows, and of columns. It scatters their values, so that one feature
// of all rows, or columns, lies together. There are two stages: the next one is fetched into
// registers while the current one is summed. One barrier separates them.
//
// The order of a sum depends on the number of features alone, and it is the same in every kernel
// that includes this file and in `matvec`. The features are cut into quarters of whole
// QUARTER_STEP quads. A quarter is one chain of fused multiply-adds, first feature to last. The
// quarters are added in order. With SLICES = 4, four groups of invocations sum one quarter each
// at the same time, so that a few tiles occupy a GPU.
//
// A family gives Source, the places that an invocation fetches from, and fetch_rows, which returns
// its quads of a stage. Source.columns has the first quads of its columns. A legal combination of
// overrides has at most four quads of either for each invocation, and with SLICES = 4 room for the
// quarters where the stages were.

override TILE_ROWS: u32 = 64u;      // rows of a workgroup: 16, 32, 64 or 80
override TILE_COLUMNS: u32 = 64u;   // columns of a workgroup: 32 or 64
override DEPTH: u32 = 16u;          // features of a stage: 8 or 16
override ROWS: u32 = 8u;            // rows of an invocation: 4 or 8
override SLICES: u32 = 1u;          // quarters that are summed at the same time: 1 or 4

// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override DEPTH_QUADS: u32 = DEPTH / 4u;
override COLUMN_GROUPS: u32 = TILE_COLUMNS / 4u;
override SLICE_SIZE: u32 = TILE_ROWS / ROWS * COLUMN_GROUPS;   // invocations of a slice
override WORKGROUP_SIZE: u32 = SLICE_SIZE * SLICES;
override OWN_ROWS: u32 = (ROWS + SLICES - 1u) / SLICES;   // rows whose sums an invocation returns
override ROW_QUADS: u32 = TILE_ROWS * DEPTH_QUADS;        // of a stage
override COLUMN_QUADS: u32 = TILE_COLUMNS * DEPTH_QUADS;
// One four more than a tile has, so that the features that are put at once differ in banks.
override ROW_STRIDE: u32 = TILE_ROWS / 4u + 1u;           // in fours, as the next ones
override COLUMN_STRIDE: u32 = TILE_COLUMNS / 4u + 1u;
override ROW_PART: u32 = DEPTH * ROW_STRIDE;
override STAGE: u32 = ROW_PART + DEPTH * COLUMN_STRIDE;
override STAGES: u32 = 8u * SLICES * STAGE;               // values

const QUARTER_STEP = 8u;      // quads

// [SLICES, 2, rows: DEPTH, ROW_STRIDE, then columns: DEPTH, COLUMN_STRIDE][4]; in the end the
// quarters, [4, ROWS, SLICE_SIZE][4].
var<workgroup> sh_stages: array<f32, STAGES>;

// Up to four quads.
struct Block {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// Four columns of each of an invocation's rows.
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    e: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    h: vec4<f32>,
}

// The place of an invocation.
struct Part {
    slice: u32,
    lane: u32,        // within the slice
    row: u32,         // the group of rows of its sums
    column: u32,      // the four columns of its sums
}

fn part_of(local_index: u32) -> Part {
    let lane = local_index % SLICE_SIZE;
    let slice = select(0u, local_index / SLICE_SIZE, SLICES > 1u);
    return Part(slice, lane, lane / COLUMN_GROUPS, lane % COLUMN_GROUPS);
}

// The row within the tile of an invocation's i-th sums.
fn own_row(part: Part, i: u32) -> u32 {
    let r = i * SLICES + part.slice;
    if ROWS > 4u {
        return r / 4u * (TILE_ROWS / 2u) + part.row * 4u + r % 4u;
    }
    return part.row * ROWS + r;
}

// The rows, or columns, within the tile of which an invocation fetches a quad. Quads past the end
// of the tile are fetched and not put.
fn fetched(part: Part) -> vec4<u32> {
    let step = SLICE_SIZE / DEPTH_QUADS;
    return part.lane / DEPTH_QUADS + vec4<u32>(0u, step, 2u * step, 3u * step);
}

// Whether an invocation's i-th quad is one of the `quads` quads of the tile.
fn is_of_tile(part: Part, i: u32, quads: u32) -> bool {
    return (i + 1u) * SLICE_SIZE <= quads || part.lane + i * SLICE_SIZE < quads;
}

// The sums over `quads` quads, of the rows that own_row names. Every invocation of the workgroup
// calls this with the same number.
fn product(source: Source, part: Part, quads: u32) -> Sums {
    // The last quarter may have fewer quads, or none.
    let quarter = (quads + 4u * QUARTER_STEP - 1u) / (4u * QUARTER_STEP) * QUARTER_STEP;
    let span = select(quads, quarter, SLICES > 1u);
    let first = part.slice * quarter;
    let end = min(first + span, quads);
    let own_quad = part.lane % DEPTH_QUADS;
    let stages = part.slice * 2u * STAGE;
    let row_put = (stages + own_quad * 4u * ROW_STRIDE) * 4u + part.lane / DEPTH_QUADS;
    let column_put =
        (stages + ROW_PART + own_quad * 4u * COLUMN_STRIDE) * 4u + part.lane / DEPTH_QUADS;

    // Quads past the end are the last one again, and are put as zeros, which change no sum. So
    // no fetch waits for a comparison.
    var rows = fetch_rows(source, min(first + own_quad, quads - 1u));
    var columns = weight_block(source.columns + min(first + own_quad, quads - 1u));
    if first + own_quad >= end {
        rows = Block();
        columns = Block();
    }
    put_rows(part, rows, row_put);
    put_columns(part, columns, column_put);
    workgroupBarrier();
    var sums = Sums();
    var stage = 0u;   // 0 or 1
    for (var start = 0u; start < span; start += quarter) {
        var chain = Sums();
        for (var done = start; done < min(start + quarter, span); done += DEPTH_QUADS) {
            let next = first + done + DEPTH_QUADS;
            let more = done + DEPTH_QUADS < span;
            if more {
                rows = fetch_rows(source, min(next + own_quad, quads - 1u));
                columns = weight_block(source.columns + min(next + own_quad, quads - 1u));
            }
            let x_at = stages + stage * STAGE + part.row;
            let w_at = stages + stage * STAGE + ROW_PART + part.column;
            chain = eight_added(chain, x_at, w_at);
            if DEPTH > 8u {
                chain = eight_added(chain, x_at + 8u * ROW_STRIDE, w_at + 8u * COLUMN_STRIDE);
            }
            stage = 1u - stage;
            if more {
                // The first comparison is the same for a slice: few stages reach the second one.
                if next + DEPTH_QUADS > end && next + own_quad >= end {
                    rows = Block();
                    columns = Block();
                }
                put_rows(part, rows, row_put + stage * STAGE * 4u);
                put_columns(part, columns, column_put + stage * STAGE * 4u);
            }
            workgroupBarrier();
        }
        sums = added(sums, chain);
    }
    if SLICES > 1u {
        return joined(part, sums);
    }
    return sums;
}

// A chain with the products of the next eight features. A loop over them costs up to a tenth.
fn eight_added(chain: Sums, x_at: u32, w_at: u32) -> Sums {
    var next = feature_added(chain, x_at, w_at);
    next = feature_added(next, x_at + ROW_STRIDE, w_at + COLUMN_STRIDE);
    next = feature_added(next, x_at + 2u * ROW_STRIDE, w_at + 2u * COLUMN_STRIDE);
    next = feature_added(next, x_at + 3u * ROW_STRIDE, w_at + 3u * COLUMN_STRIDE);
    next = feature_added(next, x_at + 4u * ROW_STRIDE, w_at + 4u * COLUMN_STRIDE);
    next = feature_added(next, x_at + 5u * ROW_STRIDE, w_at + 5u * COLUMN_STRIDE);
    next = feature_added(next, x_at + 6u * ROW_STRIDE, w_at + 6u * COLUMN_STRIDE);
    return feature_added(next, x_at + 7u * ROW_STRIDE, w_at + 7u * COLUMN_STRIDE);
}

fn feature_added(chain: Sums, x_at: u32, w_at: u32) -> Sums {
    let w = staged(w_at);
    let x = staged(x_at);
    var next = chain;
    next.a = fma(vec4<f32>(x.x), w, chain.a);
    next.b = fma(vec4<f32>(x.y), w, chain.b);
    next.c = fma(vec4<f32>(x.z), w, chain.c);
    next.d = fma(vec4<f32>(x.w), w, chain.d);
    // Eight rows are two groups of four that lie half a tile apart.
    if ROWS > 4u {
        let more_x = staged(x_at + TILE_ROWS / 8u);
        next.e = fma(vec4<f32>(more_x.x), w, chain.e);
        next.f = fma(vec4<f32>(more_x.y), w, chain.f);
        next.g = fma(vec4<f32>(more_x.z), w, chain.g);
        next.h = fma(vec4<f32>(more_x.w), w, chain.h);
    }
    return next;
}

// The quads of an invocation's columns.
fn weight_block(at: vec4<u32>) -> Block {
    var block = Block();
    block.a = weight_quad(at.x);
    if COLUMN_QUADS > SLICE_SIZE {
        block.b = weight_quad(at.y);
    }
    if COLUMN_QUADS > 2u * SLICE_SIZE {
        block.c = weight_quad(at.z);
    }
    if COLUMN_QUADS > 3u * SLICE_SIZE {
        block.d = weight_quad(at.w);
    }
    return block;
}

// Four neighbours of one feature. The product shows compilers that the place is a multiple of
// four, so that they make one read of 16 bytes. Four reads take a third of the speed.
fn staged(four: u32) -> vec4<f32> {
    let at = four * 4u;
    return vec4<f32>(sh_stages[at], sh_stages[at + 1u], sh_stages[at + 2u], sh_stages[at + 3u]);
}

fn put_rows(part: Part, rows: Block, at: u32) {
    let step = SLICE_SIZE / DEPTH_QUADS;
    if is_of_tile(part, 0u, ROW_QUADS) {
        put(rows.a, at, 4u * ROW_STRIDE);
    }
    if ROW_QUADS > SLICE_SIZE && is_of_tile(part, 1u, ROW_QUADS) {
        put(rows.b, at + step, 4u * ROW_STRIDE);
    }
    if ROW_QUADS > 2u * SLICE_SIZE && is_of_tile(part, 2u, ROW_QUADS) {
        put(rows.c, at + 2u * step, 4u * ROW_STRIDE);
    }
    if ROW_QUADS > 3u * SLICE_SIZE && is_of_tile(part, 3u, ROW_QUADS) {
        put(rows.d, at + 3u * step, 4u * ROW_STRIDE);
    }
}

fn put_columns(part: Part, columns: Block, at: u32) {
    let step = SLICE_SIZE / DEPTH_QUADS;
    if is_of_tile(part, 0u, COLUMN_QUADS) {
        put(columns.a, at, 4u * COLUMN_STRIDE);
    }
    if COLUMN_QUADS > SLICE_SIZE && is_of_tile(part, 1u, COLUMN_QUADS) {
        put(columns.b, at + step, 4u * COLUMN_STRIDE);
    }
    if COLUMN_QUADS > 2u * SLICE_SIZE && is_of_tile(part, 2u, COLUMN_QUADS) {
        put(columns.c, at + 2u * step, 4u * COLUMN_STRIDE);
    }
    if COLUMN_QUADS > 3u * SLICE_SIZE && is_of_tile(part, 3u, COLUMN_QUADS) {
        put(columns.d, at + 3u * step, 4u * COLUMN_STRIDE);
    }
}

// The four features of a quad, `stride` apart.
fn put(quad: vec4<f32>, at: u32, stride: u32) {
    sh_stages[at] = quad.x;
    sh_stages[at + stride] = quad.y;
    sh_stages[at + 2u * stride] = quad.z;
    sh_stages[at + 3u * stride] = quad.w;
}

// The sums of an invocation's own rows from the quarters of all slices. Nobody reads the stages
// any more: the quarters take their place.
fn joined(part: Part, chain: Sums) -> Sums {
    let own = part.slice * ROWS * SLICE_SIZE + part.lane;
    put_sums(own, chain.a);
    put_sums(own + SLICE_SIZE, chain.b);
    put_sums(own + 2u * SLICE_SIZE, chain.c);
    put_sums(own + 3u * SLICE_SIZE, chain.d);
    if ROWS > 4u {
        put_sums(own + 4u * SLICE_SIZE, chain.e);
        put_sums(own + 5u * SLICE_SIZE, chain.f);
        put_sums(own + 6u * SLICE_SIZE, chain.g);
        put_sums(own + 7u * SLICE_SIZE, chain.h);
    }
    workgroupBarrier();
    var sums = Sums();
    sums.a = quarters_added(part.slice * SLICE_SIZE + part.lane);
    if OWN_ROWS > 1u {
        sums.b = quarters_added((part.slice + SLICES) * SLICE_SIZE + part.lane);
    }
    return sums;
}

fn put_sums(at: u32, sums: vec4<f32>) {
    sh_stages[at * 4u] = sums.x;
    sh_stages[at * 4u + 1u] = sums.y;
    sh_stages[at * 4u + 2u] = sums.z;
    sh_stages[at * 4u + 3u] = sums.w;
}

fn quarters_added(at: u32) -> vec4<f32> {
    let stride = ROWS * SLICE_SIZE;
    var sum = vec4<f32>();
    sum += staged(at);
    sum += staged(at + stride);
    sum += staged(at + 2u * stride);
    sum += staged(at + 3u * stride);
    return sum;
}

fn added(a: Sums, b: Sums) -> Sums {
    return Sums(
        a.a + b.a,
        a.b + b.b,
        a.c + b.c,
        a.d + b.d,
        a.e + b.e,
        a.f + b.f,
        a.g + b.g,
        a.h + b.h,
    );
}
