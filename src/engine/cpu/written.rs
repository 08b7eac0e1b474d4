//! The rows that a step writes, whole or cut into parts for threads.

use std::ops::Range;

use smallvec::SmallVec;

use super::Slices;
use crate::kernel::uniforms::{Step, StepDims};
use crate::tensor::padded;

/// The layout of the rows that a step writes.
enum WrittenRows {
    /// `[D, B]`.
    ByDirection,
    /// `[B, D]`.
    ByRow,
    /// `[L, S, B]` of a wave. Layer `l` writes the rows `[B]` of step `at[l]`, if any.
    OfLayers { steps: usize, at: Vec<Option<usize>> },
}

/// A buffer that a step writes: a row of units for each direction and batch row.
pub(super) struct Written<'a> {
    values: &'a mut [f32],
    /// The distance from one row to the next.
    width: usize,
    rows: WrittenRows,
}

impl<'a> Written<'a> {
    /// A state of units padded to quads: `[D, B, Q·4]`.
    pub(super) fn state(values: &'a mut [f32], dims: &StepDims) -> Self {
        Self { values, width: padded(dims.hidden_size as usize), rows: WrittenRows::ByDirection }
    }

    /// The cell state of an LSTM: `[D, B, H]`.
    pub(super) fn cells(values: &'a mut [f32], dims: &StepDims) -> Self {
        Self { values, width: dims.hidden_size as usize, rows: WrittenRows::ByDirection }
    }

    /// The output of a step: `[B, D, Q·4]` of `[S, B, D, Q·4]`. In a wave: `[B, Q·4]` of each layer
    /// of `[L, S, B, Q·4]`.
    pub(super) fn output(values: &'a mut [f32], dims: &StepDims, at: Step) -> Self {
        let width = padded(dims.hidden_size as usize);
        if dims.layer_delay > 0 {
            let at =
                (0..dims.directions as usize).map(|layer| step_of_wave(dims, at, layer)).collect();
            return Self {
                values,
                width,
                rows: WrittenRows::OfLayers { steps: dims.steps as usize, at },
            };
        }
        let step = dims.batch as usize * dims.directions as usize * width;
        Self {
            values: &mut values[at.index as usize * step..][..step],
            width,
            rows: WrittenRows::ByRow,
        }
    }

    /// Some units of row `b` of direction `d`, of `[directions, batch]` rows. Empty for a layer of
    /// a wave outside the segment.
    fn row(
        &mut self,
        [directions, batch]: [usize; 2],
        [d, b]: [usize; 2],
        units: Range<usize>,
    ) -> &mut [f32] {
        let row = match &self.rows {
            WrittenRows::ByDirection => d * batch + b,
            WrittenRows::ByRow => b * directions + d,
            WrittenRows::OfLayers { steps, at } => match at[d] {
                Some(step) => (d * steps + step) * batch + b,
                None => return &mut [],
            },
        };
        &mut self.values[row * self.width..][units]
    }
}

/// Some units of all rows of a direction, in each of the buffers that a step writes.
pub(super) trait Part<const W: usize> {
    /// The direction, and the range in H.
    fn place(&self) -> (usize, Range<usize>);

    /// The units of row `b`, `[U]` in each buffer.
    fn row(&mut self, b: usize) -> [&mut [f32]; W];
}

/// The units of a whole direction.
pub(super) struct Whole<'w, 'a, const W: usize> {
    pub written: &'w mut [Written<'a>; W],
    /// `[D, B]`.
    pub rows: [usize; 2],
    pub d: usize,
    /// Range in H.
    pub units: Range<usize>,
}

impl<const W: usize> Part<W> for Whole<'_, '_, W> {
    fn place(&self) -> (usize, Range<usize>) {
        (self.d, self.units.clone())
    }

    fn row(&mut self, b: usize) -> [&mut [f32]; W] {
        let (rows, d, units) = (self.rows, self.d, &self.units);
        self.written.each_mut().map(|written| written.row(rows, [d, b], units.clone()))
    }
}

/// Some units of a direction, for a thread.
pub(super) struct Cut<'a, const W: usize> {
    d: usize,
    /// Range in H.
    units: Range<usize>,
    /// `[B]`.
    rows: Slices<[&'a mut [f32]; W]>,
}

impl<const W: usize> Part<W> for Cut<'_, W> {
    fn place(&self) -> (usize, Range<usize>) {
        (self.d, self.units.clone())
    }

    fn row(&mut self, b: usize) -> [&mut [f32]; W] {
        self.rows[b].each_mut().map(|units| &mut **units)
    }
}

/// Cuts `units` of every row into parts of `width` units, for each direction.
pub(super) fn cut<'a, const W: usize>(
    written: [Written<'a>; W],
    width: usize,
    [directions, batch]: [usize; 2],
    units: Range<usize>,
) -> SmallVec<[Cut<'a, W>; 2]> {
    let across = units.len().div_ceil(width);
    let mut parts: SmallVec<[Cut<'a, W>; 2]> = (0..directions * across)
        .map(|index| {
            let start = units.start + index % across * width;
            let rows =
                (0..batch).map(|_| std::array::from_fn(|_| <&mut [f32]>::default())).collect();
            Cut { d: index / across, units: start..units.end.min(start + width), rows }
        })
        .collect();
    for (w, Written { values, width: row_width, rows }) in written.into_iter().enumerate() {
        let mut share = |d: usize, b: usize, row: &'a mut [f32]| {
            let mut rest = &mut row[units.clone()];
            for part in &mut parts[d * across..][..across] {
                (part.rows[b][w], rest) = rest.split_at_mut(width.min(rest.len()));
            }
        };
        if let WrittenRows::OfLayers { steps, at } = rows {
            for (d, (layer, at)) in values.chunks_mut(steps * batch * row_width).zip(at).enumerate()
            {
                let step = at
                    .and_then(|at| layer.chunks_mut(batch * row_width).nth(at))
                    .unwrap_or_default();
                step.chunks_mut(row_width).enumerate().for_each(|(b, row)| share(d, b, row));
            }
            continue;
        }
        for (index, row) in values.chunks_mut(row_width).take(directions * batch).enumerate() {
            match rows {
                WrittenRows::ByDirection => share(index / batch, index % batch, row),
                _ => share(index % directions, index / directions, row),
            }
        }
    }
    parts
}

/// Returns the step of the segment that a layer of a wave computes, or `None` outside the segment
/// (`update/wave.wgsl`).
pub(super) fn step_of_wave(dims: &StepDims, at: Step, layer: usize) -> Option<usize> {
    let step = (dims.first_index + at.index).checked_sub(layer as u32 * dims.layer_delay)?;
    (step < dims.steps).then_some(step as usize)
}
