//! Twins of `shaders/probe/*.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use crate::kernel::families::{
    BANDWIDTH_BLOCK_TILES as BLOCK_TILES, BANDWIDTH_TILE_QUADS as TILE_QUADS,
    PROBE_WORKGROUP as WORKGROUP_SIZE, RESIDENCE_WORKGROUP,
};
use crate::kernel::uniforms::{Dims, ProbeDims, ResidenceDims, Step};
use crate::plan::recording::Dispatch;

fn dims(dispatch: &Dispatch) -> &ProbeDims {
    let Dims::Probe(dims) = &dispatch.dims else {
        unreachable!("a probe is dispatched with ProbeDims")
    };
    dims
}

/// Twin of `shaders/probe/chain.wgsl`.
pub(crate) fn chain(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [Read(x), ReadWrite(y)] = bindings else {
        unreachable!("chain is dispatched with two buffers")
    };
    let term = (at.index * dims(dispatch).iterations) as f32;
    for (y, x) in y.iter_mut().zip(&x[..WORKGROUP_SIZE]) {
        *y = x + term;
    }
}

/// Twin of `shaders/probe/barrier.wgsl`.
pub(crate) fn barrier(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [ReadWrite(y)] = bindings else { unreachable!("barrier is dispatched with one buffer") };
    y[..WORKGROUP_SIZE].rotate_left(dims(dispatch).iterations as usize % WORKGROUP_SIZE);
}

/// Twin of `shaders/probe/bandwidth.wgsl`. The values of its buffers are words.
pub(crate) fn bandwidth(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [Read(x), ReadWrite(y)] = bindings else {
        unreachable!("bandwidth is dispatched with two buffers")
    };
    let dims = dims(dispatch);
    let (groups, blocks) = (dispatch.workgroups[0] as usize, dims.tiles as usize / BLOCK_TILES);
    for (group, y) in y.chunks_exact_mut(TILE_QUADS).take(groups).enumerate() {
        let mut sums = [0_u32; TILE_QUADS];
        for i in 0..dims.iterations as usize {
            let visit = i * groups + group;
            let passes = visit / blocks;
            let block = (visit % blocks + rotation(passes as u32) as usize % blocks) % blocks;
            let tiles = x[block * BLOCK_TILES * TILE_QUADS * 4..].chunks_exact(TILE_QUADS * 4);
            for tile in tiles.take(BLOCK_TILES) {
                for (sum, quad) in sums.iter_mut().zip(tile.chunks_exact(4)) {
                    *sum = quad.iter().fold(*sum, |sum, word| sum.wrapping_add(word.to_bits()));
                }
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = f32::from_bits(sum);
        }
    }
}

/// Returns the random number of a pass (lowbias32 of Chris Wellons).
fn rotation(passes: u32) -> u32 {
    let x = (passes ^ (passes >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Twin of `shaders/probe/multiply_add.wgsl`.
pub(crate) fn multiply_add(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [ReadWrite(y)] = bindings else {
        unreachable!("multiply_add is dispatched with one buffer")
    };
    let dims = dims(dispatch);
    let factor = 1.0 / dims.tiles as f32;
    for value in &mut y[..dispatch.workgroups[0] as usize * WORKGROUP_SIZE * 4] {
        let mut chains: [f32; 8] = std::array::from_fn(|chain| *value + chain as f32);
        for _ in 0..dims.iterations * 4 {
            chains.iter_mut().for_each(|chain| *chain = *chain * factor + 1.0);
        }
        let [a, b, c, d, e, f, g, h] = chains;
        *value = a + b + (c + d) + (e + f + (g + h));
    }
}

/// Twin of `shaders/probe/residence.wgsl`: every workgroup arrives at once.
pub(crate) fn residence(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (&Dims::Residence(dims), [ReadWrite(values), ReadWrite(arrivals), ReadWrite(verdict)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("residence is dispatched with ResidenceDims and three buffers")
    };
    let ResidenceDims { rounds, looks, keep, .. } = dims;
    let workgroups = dispatch.workgroups[0];
    arrivals[..(rounds * workgroups) as usize].fill(f32::from_bits(1));
    let add = |word: &mut f32, count| *word = f32::from_bits(word.to_bits() + count);
    if looks == 0 {
        add(&mut verdict[0], workgroups * RESIDENCE_WORKGROUP as u32);
    }
    add(&mut verdict[1], workgroups);
    if keep != 0 {
        let row = RESIDENCE_WORKGROUP * 4;
        for at in 0..row {
            // A product is a polynomial of eight values, the highest power first.
            let held = |first: usize| (0..8).map(move |i| (first + i) * row + at);
            let product = |first, x: f32| held(first).fold(0.0, |sum, i| sum * x + values[i]);
            let round = |round: u32| {
                let x = round as f32 + 1.0;
                product(0, x) + product(8, x) + product(16, x) + product(24, x)
            };
            values[at] = (0..rounds).fold(0.0, |sum, i| sum + round(i));
        }
    }
}
