//! The result of a lockstep: how each kernel compares with its twin.

use crate::diagnostics::compare::{Comparison, Tolerance, Worst};

/// How a kernel's GPU results compare with its twin's, over all of its dispatches.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct KernelReport {
    /// The kernel's name.
    pub kernel: String,
    /// Dispatches compared.
    pub dispatches: u64,
    /// Values compared.
    pub count: usize,
    /// Values out of tolerance.
    pub mismatches: usize,
    /// The largest difference; infinite where the two differ and one of them is not finite.
    pub max_abs: f64,
    /// The element with the largest [`ratio`](WorstElement::ratio). `None` when all are equal.
    pub worst: Option<WorstElement>,
}

/// An element of a buffer, in the terms of the model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct WorstElement {
    /// The buffer's label.
    pub buffer: String,
    /// Layer.
    pub layer: usize,
    /// Direction: 0 forward, 1 reverse.
    pub direction: usize,
    /// Time step t, counted from the sequence's start in both directions.
    pub time: usize,
    /// Batch row.
    pub row: usize,
    /// Hidden unit.
    pub unit: usize,
    /// The gate's letter, for buffers that have gates.
    pub gate: Option<&'static str>,
    /// The GPU's value.
    pub got: f64,
    /// The twin's value.
    pub want: f64,
    /// The difference divided by the tolerance.
    pub ratio: f64,
}

impl std::fmt::Display for WorstElement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let direction = if self.direction == 1 { "reverse" } else { "forward" };
        let gate = self.gate.map(|gate| format!(" gate {gate}")).unwrap_or_default();
        write!(
            f,
            "{}: layer {} {direction}, time {} row {} unit {}{gate}: got {}, want {}",
            self.buffer, self.layer, self.time, self.row, self.unit, self.got, self.want
        )
    }
}

impl KernelReport {
    /// A report of no dispatch yet.
    pub(super) fn of(kernel: String) -> Self {
        Self { kernel, dispatches: 0, count: 0, mismatches: 0, max_abs: 0.0, worst: None }
    }

    /// Whether every value is within tolerance.
    pub fn agrees(&self) -> bool {
        self.mismatches == 0
    }

    pub(super) fn add(
        &mut self,
        got: &[f32],
        want: &[f32],
        tolerance: Tolerance,
        locate: impl Fn(usize) -> WorstElement,
    ) {
        let scale =
            want.iter().map(|v| f64::from(v.abs())).filter(|v| v.is_finite()).fold(1.0, f64::max);
        let tolerance = Tolerance { atol: tolerance.atol * scale, ..tolerance };
        let want: Vec<f64> = want.iter().map(|&v| f64::from(v)).collect();
        let mut comparison = Comparison::default();
        comparison.add("", &[want.len()], got, &want, tolerance);
        self.count += comparison.count;
        // Outputs of different lengths are not compared: all values count as wrong.
        self.mismatches +=
            if comparison.structural.is_some() { want.len() } else { comparison.mismatches };
        self.max_abs = self.max_abs.max(comparison.max_abs);
        let ratio = comparison.worst_ratio;
        if let Some(Worst { index, got, want, .. }) = comparison.worst
            && self.worst.as_ref().is_none_or(|worst| ratio > worst.ratio)
        {
            self.worst = Some(WorstElement { got, want, ratio, ..locate(index[0]) });
        }
    }
}
