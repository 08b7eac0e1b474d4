// The windows of a convolution as rows, which a linear layer then multiplies with the weights
// (torch.nn.functional.unfold along one axis).
//
// A row of y has the window of one output position, tap by tap, the channels of a tap together.
// With CHANNELS_FIRST it has them channel by channel. Each invocation writes one value; padding of
// the rows becomes 0.

struct UnfoldDims {
    rows: u32,                // N
    positions: u32,           // L of x
    outputs: u32,             // M, positions of y
    channels: u32,            // C of each group
    groups: u32,              // G
    kernel: u32,              // K taps
    stride: u32,
    dilation: u32,
    padding: u32,             // positions before the first one of x
    mode: u32,
    x_row_stride: u32,        // values
    x_position_stride: u32,
    x_channel_stride: u32,
    width: u32,               // W, K · C padded to quads
    order: u32,               // bits: TIME_MAJOR, CHANNELS_FIRST
    pad0: u32,
}

// The values before and after x; 0 by other modes.
const REFLECT = 1u;
const REPLICATE = 2u;
const CIRCULAR = 3u;
const HISTORY = 4u;           // the positions that came before x; none come after it

// Rows of y are [M, N], not [N, M].
const TIME_MAJOR = 1u;
const CHANNELS_FIRST = 2u;

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<uniform> dims: UnfoldDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N, L, G·C]  at strides
@group(0) @binding(2) var<storage, read> history: array<f32>;   // [N, padding, G·C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [G, N·M, W]

@compute @workgroup_size(WORKGROUP_SIZE)
fn unfold(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    let rows = dims.rows * dims.outputs;
    if at >= dims.groups * rows * dims.width {
        return;
    }
    let i = at % dims.width;
    let row = at / dims.width % rows;
    let group = at / (dims.width * rows);
    var value = 0.0;
    if i < dims.kernel * dims.channels {
        let channels_first = (dims.order & CHANNELS_FIRST) != 0u;
        let tap = select(i / dims.channels, i % dims.kernel, channels_first);
        let channel = select(i % dims.channels, i / dims.kernel, channels_first);
        let time_major = (dims.order & TIME_MAJOR) != 0u;
        let n = select(row / dims.outputs, row % dims.rows, time_major);
        let output = select(row % dims.outputs, row / dims.rows, time_major);
        // Positions count from the first one of the padding.
        let position = output * dims.stride + tap * dims.dilation;
        value = value_at(n, position, group * dims.channels + channel);
    }
    y[at] = value;
}

fn value_at(n: u32, position: u32, channel: u32) -> f32 {
    let last = dims.positions - 1u;
    let before = position < dims.padding;
    let p = position - dims.padding;
    if !before && p <= last {
        return x_value(n, p, channel);
    }
    if dims.mode == REFLECT {
        return x_value(n, select(2u * last - p, dims.padding - position, before), channel);
    }
    if dims.mode == REPLICATE {
        return x_value(n, select(last, 0u, before), channel);
    }
    if dims.mode == CIRCULAR {
        return x_value(n, select(p - dims.positions, p + dims.positions, before), channel);
    }
    if dims.mode == HISTORY {
        return history[(n * dims.padding + position) * dims.groups * dims.channels + channel];
    }
    return 0.0;
}

fn x_value(n: u32, position: u32, channel: u32) -> f32 {
    return x[n * dims.x_row_stride + position * dims.x_position_stride
        + channel * dims.x_channel_stride];
}
