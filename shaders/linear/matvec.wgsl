// y = x · Wᵀ + b for few rows, every direction in the same dispatch. linear/io.wgsl has the
// operands.
//
// Four invocations share COLUMNS columns of ROWS rows, and each sums a quarter of the features,
// in the order of lib/product.wgsl. An invocation reads four quads of each column before it uses
// the first.

override ROWS: u32 = 1u;       // rows of a workgroup: 1, 2, 4 or 8
override COLUMNS: u32 = 1u;    // columns of an invocation: 1, 2 or 4
// Named, because naga 30 miscounts overrides if the size of an array is an unnamed expression.
override CHAINS: u32 = 4u * ROWS * GROUPS;

const GROUPS = 8u;             // groups of COLUMNS columns of a workgroup
const WORKGROUP_SIZE = 32u;    // four quarters of each group
const QUARTER_STEP = 8u;       // quads, as in lib/product.wgsl

const NEXT = vec4<u32>(0u, 1u, 2u, 3u);

var<workgroup> sh_chains: array<vec4<f32>, CHAINS>;   // [quarters, ROWS, GROUPS]  four columns

// One quad of four rows or of four columns.
struct Block {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// Four columns each of up to eight rows.
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

// One quad of all operands.
struct Operands {
    rows: Block,
    more_rows: Block,
    columns: Block,
}

// The rows and columns of an invocation.
struct Sources {
    rows: RowSource,
    more_rows: RowSource,
    columns: vec4<u32>,
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn matvec(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let index = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added run along and store nothing.
    let in_range = index / (dims.column_tiles * dims.row_tiles) < dims.directions;
    let d = min(index / (dims.column_tiles * dims.row_tiles), dims.directions - 1u);
    let first_column = index % dims.column_tiles * (GROUPS * COLUMNS);
    let first_row = index / dims.column_tiles % dims.row_tiles * ROWS;
    let group = local_index % GROUPS;
    let lane = local_index / GROUPS;
    let sources = Sources(
        row_source(first_row + NEXT, d),
        row_source(first_row + 4u + NEXT, d),
        column_source(first_column + group * COLUMNS + NEXT, d),
    );

    let quads = dims.halves * dims.half_quads;
    let quarter = (quads + 4u * QUARTER_STEP - 1u) / (4u * QUARTER_STEP) * QUARTER_STEP;
    let first = min(lane * quarter, quads);
    let end = min(first + quarter, quads);
    var chain = Sums();
    var q = first;
    for (; q + 3u < end; q += 4u) {
        let o0 = operands(sources, q);
        let o1 = operands(sources, q + 1u);
        let o2 = operands(sources, q + 2u);
        let o3 = operands(sources, q + 3u);
        chain = extended(extended(extended(extended(chain, o0), o1), o2), o3);
    }
    for (; q < end; q++) {
        chain = extended(chain, operands(sources, q));
    }

    let own = lane * ROWS * GROUPS + group;
    sh_chains[own] = chain.a;
    if ROWS > 1u {
        sh_chains[own + GROUPS] = chain.b;
    }
    if ROWS > 2u {
        sh_chains[own + 2u * GROUPS] = chain.c;
        sh_chains[own + 3u * GROUPS] = chain.d;
    }
    if ROWS > 4u {
        sh_chains[own + 4u * GROUPS] = chain.e;
        sh_chains[own + 5u * GROUPS] = chain.f;
        sh_chains[own + 6u * GROUPS] = chain.g;
        sh_chains[own + 7u * GROUPS] = chain.h;
    }
    workgroupBarrier();
    if !in_range {
        return;
    }
    for (var i = local_index; i < ROWS * GROUPS; i += WORKGROUP_SIZE) {
        let column = first_column + i % GROUPS * COLUMNS;
        let row = first_row + i / GROUPS;
        var sum = vec4<f32>();
        sum += sh_chains[i];
        sum += sh_chains[i + ROWS * GROUPS];
        sum += sh_chains[i + 2u * ROWS * GROUPS];
        sum += sh_chains[i + 3u * ROWS * GROUPS];
        let values = sum + bias_quad(column, d);
        store(row, column, d, values.x);
        if COLUMNS > 1u {
            store(row, column + 1u, d, values.y);
        }
        if COLUMNS > 2u {
            store(row, column + 2u, d, values.z);
            store(row, column + 3u, d, values.w);
        }
    }
}

fn operands(sources: Sources, quad: u32) -> Operands {
    var more_rows = Block();
    if ROWS > 4u {
        more_rows = fetch_rows(sources.more_rows, quad);
    }
    let columns = fetch_columns(sources.columns, quad);
    return Operands(fetch_rows(sources.rows, quad), more_rows, columns);
}

fn fetch_columns(columns: vec4<u32>, quad: u32) -> Block {
    let at = columns + quad;
    return Block(weight_quad(at.x), weight_quad(at.y), weight_quad(at.z), weight_quad(at.w));
}

fn fetch_rows(rows: RowSource, quad: u32) -> Block {
    if is_same(rows.d, quad) {
        let at = rows.at + quad;
        return Block(x_same[at.x], x_same[at.y], x_same[at.z], x_same[at.w]);
    }
    let at = rows.mirrored_at + quad;
    return Block(x_mirrored[at.x], x_mirrored[at.y], x_mirrored[at.z], x_mirrored[at.w]);
}

// A chain with the four products of a quad of every row and column.
fn extended(chain: Sums, o: Operands) -> Sums {
    let w0 = vec4<f32>(o.columns.a.x, o.columns.b.x, o.columns.c.x, o.columns.d.x);
    let w1 = vec4<f32>(o.columns.a.y, o.columns.b.y, o.columns.c.y, o.columns.d.y);
    let w2 = vec4<f32>(o.columns.a.z, o.columns.b.z, o.columns.c.z, o.columns.d.z);
    let w3 = vec4<f32>(o.columns.a.w, o.columns.b.w, o.columns.c.w, o.columns.d.w);
    var next = chain;
    next.a = products(o.rows.a, w0, w1, w2, w3, chain.a);
    if ROWS > 1u {
        next.b = products(o.rows.b, w0, w1, w2, w3, chain.b);
    }
    if ROWS > 2u {
        next.c = products(o.rows.c, w0, w1, w2, w3, chain.c);
        next.d = products(o.rows.d, w0, w1, w2, w3, chain.d);
    }
    if ROWS > 4u {
        next.e = products(o.more_rows.a, w0, w1, w2, w3, chain.e);
        next.f = products(o.more_rows.b, w0, w1, w2, w3, chain.f);
        next.g = products(o.more_rows.c, w0, w1, w2, w3, chain.g);
        next.h = products(o.more_rows.d, w0, w1, w2, w3, chain.h);
    }
    return next;
}

fn products(
    x: vec4<f32>,
    w0: vec4<f32>,
    w1: vec4<f32>,
    w2: vec4<f32>,
    w3: vec4<f32>,
    sum: vec4<f32>,
) -> vec4<f32> {
    let half = fma(vec4<f32>(x.y), w1, fma(vec4<f32>(x.x), w0, sum));
    return fma(vec4<f32>(x.w), w3, fma(vec4<f32>(x.z), w2, half));
}
