// The matrix product of `tile` and of `step_tiled`: the rows of a workgroup with its columns,
// summed over their features.
//
// A workgroup computes TILE × TILE sums, an invocation ROWS × 4 of them in named registers.
// Features pass through workgroup memory in stages of DEPTH. An invocation fetches at most one
// block of a stage: one quad of four rows or of four columns. It transposes the block, so that a
// vec4 of workgroup memory holds one feature of four neighbours, and one read of 16 bytes serves
// four rows or columns. There are two stages: the next one is fetched into registers while the
// current one is summed. One barrier separates them.
//
// The order of a sum depends on the number of features alone, and it is the same in every kernel
// that includes this file and in `matvec`. The features are cut into quarters of whole
// QUARTER_STEP quads. A quarter is one chain of fused multiply-adds, first feature to last. The
// quarters are added in order. With SLICES = 4, four groups of invocations sum one quarter each
// at the same time, so that a few tiles occupy a GPU.
//
// A family gives Source, which says what an invocation fetches from, and fetch, which returns the
// block of one quad. A legal combination of overrides has an invocation for each block of a
// stage, TILE / 2 · DEPTH / 4 ≤ SLICE_SIZE, and with SLICES = 4 room for the quarters where the
// stages were, TILE ≤ 16 · DEPTH.

override TILE: u32 = 64u;     // rows and columns of a workgroup: 32 or 64
override DEPTH: u32 = 16u;    // features of a stage: 8 or 16
override ROWS: u32 = 8u;      // rows of an invocation: 4 or 8
override SLICES: u32 = 1u;    // quarters that are summed at the same time: 1 or 4

// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override TILE_QUADS: u32 = TILE / 4u;
override SLICE_SIZE: u32 = TILE / ROWS * TILE_QUADS;      // invocations of a slice
override WORKGROUP_SIZE: u32 = SLICE_SIZE * SLICES;
override OWN_ROWS: u32 = (ROWS + SLICES - 1u) / SLICES;   // rows whose sums an invocation returns
override HALF_STAGE: u32 = DEPTH * TILE_QUADS;            // the rows' part of a stage
override STAGES: u32 = 4u * SLICES * HALF_STAGE;

const QUARTER_STEP = 8u;      // quads

// [SLICES, 2, rows then columns: DEPTH, TILE / 4]; in the end the quarters, [4, ROWS, SLICE_SIZE].
var<workgroup> sh_stages: array<vec4<f32>, STAGES>;

// One quad of four rows or of four columns.
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

// What an invocation sums, and what it fetches.
struct Part {
    slice: u32,
    lane: u32,        // within the slice
    row: u32,         // the group of rows of its sums
    column: u32,      // the four columns of its sums
    fetches: bool,
    of_columns: bool,
    group: u32,       // the four rows or columns to fetch
    quad: u32,        // the quad of a stage to fetch
    put: u32,         // the block's place in a stage
}

fn part_of(local_index: u32) -> Part {
    let lane = local_index % SLICE_SIZE;
    let blocks = TILE_QUADS * (DEPTH / 4u);
    let of_columns = lane >= blocks;
    let block = select(lane, lane - blocks, of_columns);
    let group = block % TILE_QUADS;
    let quad = block / TILE_QUADS;
    return Part(
        local_index / SLICE_SIZE,
        lane,
        lane / TILE_QUADS,
        lane % TILE_QUADS,
        lane < 2u * blocks,
        of_columns,
        group,
        quad,
        select(0u, HALF_STAGE, of_columns) + quad * 4u * TILE_QUADS + group,
    );
}

// The row within the tile of an invocation's i-th sums.
fn own_row(part: Part, i: u32) -> u32 {
    let r = i * SLICES + part.slice;
    if ROWS > 4u {
        return r / 4u * (TILE / 2u) + part.row * 4u + r % 4u;
    }
    return part.row * ROWS + r;
}

// The block of a quad. Past the end it is zeros, which change no sum.
fn block_at(source: Source, quad: u32, end: u32) -> Block {
    if quad < end {
        return fetch(source, quad);
    }
    return Block();
}

fn put_block(block: Block, at: u32) {
    sh_stages[at] = vec4<f32>(block.a.x, block.b.x, block.c.x, block.d.x);
    sh_stages[at + TILE_QUADS] = vec4<f32>(block.a.y, block.b.y, block.c.y, block.d.y);
    sh_stages[at + 2u * TILE_QUADS] = vec4<f32>(block.a.z, block.b.z, block.c.z, block.d.z);
    sh_stages[at + 3u * TILE_QUADS] = vec4<f32>(block.a.w, block.b.w, block.c.w, block.d.w);
}

// The sums over `quads` quads, of the rows that own_row names. Every invocation of the workgroup
// calls this with the same number.
fn product(source: Source, part: Part, quads: u32) -> Sums {
    // The last quarter may have fewer quads, or none.
    let quarter = (quads + 4u * QUARTER_STEP - 1u) / (4u * QUARTER_STEP) * QUARTER_STEP;
    let span = select(quads, quarter, SLICES > 1u);
    let first = part.slice * quarter;
    let end = min(first + span, quads);
    let stages = part.slice * 4u * HALF_STAGE;

    var sums = Sums();
    var chain = Sums();
    if part.fetches {
        put_block(block_at(source, first + part.quad, end), stages + part.put);
    }
    workgroupBarrier();
    var block = Block();
    var stage = 0u;
    var left = quarter;
    for (var done = 0u; done < span; done += DEPTH / 4u) {
        let more = part.fetches && done + DEPTH / 4u < span;
        if more {
            block = block_at(source, first + done + DEPTH / 4u + part.quad, end);
        }
        let x_at = stages + stage + part.row;
        let w_at = stages + stage + HALF_STAGE + part.column;
        for (var k = 0u; k < DEPTH; k++) {
            let w = sh_stages[w_at + k * TILE_QUADS];
            let x = sh_stages[x_at + k * TILE_QUADS];
            chain.a = fma(vec4<f32>(x.x), w, chain.a);
            chain.b = fma(vec4<f32>(x.y), w, chain.b);
            chain.c = fma(vec4<f32>(x.z), w, chain.c);
            chain.d = fma(vec4<f32>(x.w), w, chain.d);
            // Eight rows are two groups of four that lie half a tile apart.
            if ROWS > 4u {
                let more_x = sh_stages[x_at + k * TILE_QUADS + TILE_QUADS / 2u];
                chain.e = fma(vec4<f32>(more_x.x), w, chain.e);
                chain.f = fma(vec4<f32>(more_x.y), w, chain.f);
                chain.g = fma(vec4<f32>(more_x.z), w, chain.g);
                chain.h = fma(vec4<f32>(more_x.w), w, chain.h);
            }
        }
        left -= DEPTH / 4u;
        if SLICES == 1u && left == 0u {
            sums = added(sums, chain);
            chain = Sums();
            left = quarter;
        }
        stage = 2u * HALF_STAGE - stage;
        if more {
            put_block(block, stages + stage + part.put);
        }
        workgroupBarrier();
    }
    // Nobody reads the stages any more: the quarters take their place.
    if SLICES > 1u {
        let own = part.slice * ROWS * SLICE_SIZE + part.lane;
        sh_stages[own] = chain.a;
        sh_stages[own + SLICE_SIZE] = chain.b;
        sh_stages[own + 2u * SLICE_SIZE] = chain.c;
        sh_stages[own + 3u * SLICE_SIZE] = chain.d;
        if ROWS > 4u {
            sh_stages[own + 4u * SLICE_SIZE] = chain.e;
            sh_stages[own + 5u * SLICE_SIZE] = chain.f;
            sh_stages[own + 6u * SLICE_SIZE] = chain.g;
            sh_stages[own + 7u * SLICE_SIZE] = chain.h;
        }
    }
    // A barrier where there are several slices.
    for (var several = SLICES; several > 1u; several = 1u) {
        workgroupBarrier();
    }
    if SLICES > 1u {
        sums.a = quarters_added(part.slice * SLICE_SIZE + part.lane);
        if OWN_ROWS > 1u {
            sums.b = quarters_added((part.slice + SLICES) * SLICE_SIZE + part.lane);
        }
        return sums;
    }
    return added(sums, chain);
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

fn quarters_added(at: u32) -> vec4<f32> {
    let stride = ROWS * SLICE_SIZE;
    var sum = vec4<f32>();
    sum += sh_stages[at];
    sum += sh_stages[at + stride];
    sum += sh_stages[at + 2u * stride];
    sum += sh_stages[at + 3u * stride];
    return sum;
}
